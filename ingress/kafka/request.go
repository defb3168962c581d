package kafka

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

// pending is a request whose answer is not written yet.
type pending struct {
	api           *served
	version       int16
	correlationID int32
	flexible      bool
	frame         *[]byte
	claim         *pipeline.Claim // of the frame
	work          *pipeline.Claim // of a request that names much, else nil
	began         time.Time

	resp    Response
	replied atomic.Bool
	done    chan struct{} // closed once resp is set
}

// reply is what the handler calls. The answer to a request that names much is
// encoded at once, so that what it was made of can go.
func (p *pending) reply(r Response) {
	if p.replied.Swap(true) {
		panic("kafka: a request was answered twice")
	}
	if p.work != nil && r.Message != nil {
		b := r.Message.AppendTo(nil)
		r.Message, r.Body = nil, net.Buffers{b}
		p.work.Correct(int64(cap(b)))
	}
	p.resp = r
	close(p.done)
}

// Sizes of what is read at a time.
const (
	// firstBytes must have come before anything is charged for a frame.
	firstBytes = 4 << 10
	// firstStep is charged for them; each further step is four times as large. So no
	// more is ever held than four times what has come.
	firstStep = 16 << 10
	stepUp    = 4
)

// take reads the rest of a frame and starts its handler.
func (c *conn) take(ctx context.Context, in *bufio.Reader, h *header, size int) (*pending, error) {
	api, ok := c.s.apis[h.key]
	if !ok {
		return nil, fmt.Errorf("%w: API key %d is not served", errMalformed, h.key)
	}
	limit := c.s.cfg.MaxControlBytes
	if h.key == kmsg.Produce.Int16() {
		limit = c.s.cfg.MaxFrameBytes
	}
	if size > limit {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d are allowed", errMalformed, kmsg.NameForKey(h.key), size, limit)
	}
	p := &pending{api: api, version: h.version, correlationID: h.correlationID, began: time.Now(), done: make(chan struct{}),
		claim: c.s.admission.Frame(c.who, h.key, frameMemory(size))}
	if err := c.receive(ctx, in, p, size); err != nil {
		c.discard(p)
		return nil, err
	}
	c.served = true
	c.s.metrics.in.Add(float64(size + 4 + fixedHeader))
	if err := c.start(ctx, p, h); err != nil {
		c.discard(p)
		return nil, err
	}
	return p, nil
}

// receive reads a frame into memory that is charged as it comes. A connection that has
// sent a whole request before gets all of it at once while there is plenty, which saves
// copying the frame into larger and larger memory.
func (c *conn) receive(ctx context.Context, in *bufio.Reader, p *pending, size int) error {
	if _, err := in.Peek(min(size, firstBytes)); err != nil {
		return fmt.Errorf("read a frame of %d bytes: %w", size, err)
	}
	step, have := firstStep, 0
	if size <= pipeline.SmallClaim || c.served && p.claim.Ahead() {
		step = size
	}
	for {
		step = min(step, size)
		if err := p.claim.Grow(ctx, frameMemory(step)); err != nil {
			return fmt.Errorf("admission of %d bytes: %w", size, err)
		}
		grown := c.s.frames.get(step)
		if p.frame != nil {
			copy(*grown, *p.frame)
			c.s.frames.put(p.frame)
		}
		p.frame = grown
		if _, err := io.ReadFull(in, (*p.frame)[have:]); err != nil {
			return fmt.Errorf("read a frame of %d bytes: %w", size, err)
		}
		if have = step; have == size {
			return nil
		}
		step *= stepUp
	}
}

// start decodes the request and calls its handler.
func (c *conn) start(ctx context.Context, p *pending, h *header) error {
	if h.version < p.api.Min || h.version > p.api.Max {
		return c.unsupported(p, h)
	}
	body := newBody(h)
	p.flexible = body.IsFlexible()
	rest, err := h.finish(*p.frame, p.flexible)
	if err != nil {
		return err
	}
	decoded, err := prescan(h.key, h.version, rest)
	if err != nil {
		return err
	}
	r := &Request{Conn: c.info, Who: c.who, Key: h.key, Version: h.version, CorrelationID: h.correlationID, ClientID: h.clientID, Body: body}
	defer r.Leave()
	if decoded > lightWork {
		if r.place, err = c.work(ctx, p, (1+answerShare)*decoded); err != nil {
			return err
		}
	}
	if err := decode(r, rest); err != nil {
		return err
	}
	if err := c.answerable(ctx, p, h, r, rest, decoded); err != nil {
		return err
	}
	if c.call(ctx, p, r); r.Charged {
		c.shed(p)
	}
	return nil
}

func newBody(h *header) kmsg.Request {
	body := kmsg.RequestForKey(h.key)
	body.SetVersion(h.version)
	return body
}

func decode(r *Request, rest []byte) error {
	if err := r.Body.ReadFrom(rest); err != nil {
		return fmt.Errorf("%w: %s: %w", errMalformed, kmsg.NameForKey(r.Key), err)
	}
	return nil
}

// answerable charges what the answer to a request is estimated to take, where that is much and
// more than what is charged already. What a large request was decoded into goes while that waits.
func (c *conn) answerable(ctx context.Context, p *pending, h *header, r *Request, rest []byte, decoded int64) (err error) {
	if p.api.Answer == nil {
		return nil
	}
	switch n := p.api.Answer(r.Body); {
	case p.work == nil && n > lightWork:
		r.place, err = c.work(ctx, p, n)
		return err
	case p.work == nil || n <= answerShare*decoded:
		return nil
	default:
		r.Leave()
		p.work.Release()
		p.work, r.Body = nil, newBody(h)
		if r.place, err = c.work(ctx, p, decoded+n); err != nil {
			return err
		}
		return decode(r, rest)
	}
}

// shed gives back what the frame of a request takes, which is not needed any more. The
// request is not in the queue yet, so nobody else looks at it.
func (c *conn) shed(p *pending) {
	c.s.frames.put(p.frame)
	p.frame = nil
	p.claim.Release()
	if p.work != nil {
		p.work.Release()
	}
}

// call runs the handler; one that panics costs its client the connection and
// nobody else anything.
func (c *conn) call(ctx context.Context, p *pending, r *Request) {
	defer func() {
		if v := recover(); v != nil {
			c.s.log.Error("a handler panicked; its connection is closed", "api", kmsg.NameForKey(r.Key),
				"version", r.Version, "client", r.ClientID, "panic", v, "stack", string(debug.Stack()))
			c.s.metrics.panics.Inc()
			if !p.replied.Load() {
				p.reply(Response{Silent: true, Close: true})
			}
		}
	}()
	p.api.Handler.Serve(ctx, r, p.reply)
}

// unsupported answers ApiVersions of a version from the future with what is
// spoken here, in version 0 (KIP-511). Any other API ends the connection: there
// is no form of answer that the client would understand.
func (c *conn) unsupported(p *pending, h *header) error {
	if h.key != kmsg.ApiVersions.Int16() {
		return fmt.Errorf("%w: %s version %d, served are %d to %d", errMalformed, kmsg.NameForKey(h.key), h.version, p.api.Min, p.api.Max)
	}
	p.reply(Response{Message: c.s.refuseApiVersions()})
	return nil
}

// lightWork is how much a request may be decoded into, or be answered with, without
// asking for a place.
const lightWork = 256 << 10

// answerShare is what the answer to a request that names much is taken to be, in
// times of what the request is decoded into, until it is known.
const answerShare = 2

// heavyWork is how long a request that names much has its place at most, about.
const heavyWork = 20 * time.Millisecond

// work waits until so many bytes of what a request is decoded into and answered with may
// be, charges them, and returns its place among those few that are worked on at a time.
// So the others find processors, however many of its kind come.
func (c *conn) work(ctx context.Context, p *pending, bytes int64) (*pipeline.Place, error) {
	p.work = c.s.admission.Work(c.who, bytes)
	if err := p.work.Grow(ctx, bytes); err != nil {
		return nil, fmt.Errorf("admission of %d bytes of work: %w", bytes, err)
	}
	return c.s.places.Enter(ctx, c.who)
}

// discard gives back what a request holds.
func (c *conn) discard(p *pending) {
	if p.resp.Release != nil {
		p.resp.Release()
	}
	if p.frame != nil {
		c.s.frames.put(p.frame)
	}
	p.claim.Release()
	if p.work != nil {
		p.work.Release()
	}
}
