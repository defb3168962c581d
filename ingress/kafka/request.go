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

// pending is a request whose response is not written yet.
type pending struct {
	api           *served
	version       int16
	correlationID int32
	flexible      bool
	frame         *[]byte
	claim         *pipeline.Claim // of the frame
	work          *pipeline.Claim // of a large request, else nil
	decoded       int64           // bytes of the request as it is decoded
	began         time.Time

	resp    Response
	replied atomic.Bool
	done    chan struct{} // closed once resp is set
}

// reply is passed to the handler. The response to a large request is encoded at once, so that
// its decoded form can be freed.
func (p *pending) reply(r Response) {
	if p.replied.Swap(true) {
		panic("kafka: two replies to one request")
	}
	if p.work != nil && r.Message != nil {
		b := r.Message.AppendTo(nil)
		r.Message, r.Body = nil, net.Buffers{b}
		p.work.Correct(int64(cap(b)))
	}
	if p.work != nil && r.parts != nil {
		p.work.Correct(p.decoded + r.parts.held)
	}
	p.resp = r
	close(p.done)
}

// Read sizes.
const (
	// firstBytes must arrive before anything is charged for a frame.
	firstBytes = 4 << 10
	// firstStep is charged for them; each further step is four times as large. So at most four
	// times the received bytes are held.
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

// receive reads a frame into memory that is charged as bytes arrive. A connection that has
// already sent a whole request gets the full size at once while the budget is plentiful, which
// avoids copying the frame into ever larger buffers.
func (c *conn) receive(ctx context.Context, in *bufio.Reader, p *pending, size int) error {
	if _, err := in.Peek(min(size, firstBytes)); err != nil {
		return fmt.Errorf("read a frame of %d bytes: %w", size, err)
	}
	step, have := firstStep, 0
	if size <= pipeline.SmallClaim || c.served && p.claim.GrowAhead() {
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
	p.decoded = decoded
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
	if err := c.chargeAnswer(ctx, p, h, r, rest, decoded); err != nil {
		return err
	}
	if c.call(ctx, p, r); r.Charged {
		c.releaseFrame(p)
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

// chargeAnswer charges the estimated size of a response if it is large and exceeds what is
// charged already. While it waits, the decoded form of a large request is released.
func (c *conn) chargeAnswer(ctx context.Context, p *pending, h *header, r *Request, rest []byte, decoded int64) (err error) {
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

// releaseFrame releases the frame of a request that no longer needs it. The request is not in the queue
// yet, so no other goroutine sees it.
func (c *conn) releaseFrame(p *pending) {
	c.s.frames.put(p.frame)
	p.frame = nil
	p.claim.Release()
	if p.work != nil {
		p.work.Release()
	}
}

// call runs the handler. A panic costs the client its connection and affects nobody else.
func (c *conn) call(ctx context.Context, p *pending, r *Request) {
	defer func() {
		if v := recover(); v != nil {
			c.s.log.Error("handler panicked; closing its connection", "api", kmsg.NameForKey(r.Key),
				"version", r.Version, "client", r.ClientID, "panic", v, "stack", string(debug.Stack()))
			c.s.metrics.panics.Inc()
			if !p.replied.Load() {
				p.reply(Response{Silent: true, Close: true})
			}
		}
	}()
	p.api.Handler.Serve(ctx, r, p.reply)
}

// unsupported answers an ApiVersions request of an unknown version with the supported versions,
// in version 0 (KIP-511). For any other API it ends the connection: the client would understand
// no form of response.
func (c *conn) unsupported(p *pending, h *header) error {
	if h.key != kmsg.ApiVersions.Int16() {
		return fmt.Errorf("%w: %s version %d, supported are %d to %d", errMalformed, kmsg.NameForKey(h.key), h.version, p.api.Min, p.api.Max)
	}
	p.reply(Response{Message: c.s.refuseApiVersions()})
	return nil
}

// lightWork is how many decoded and response bytes a request may take without a slot.
const lightWork = 256 << 10

// answerShare estimates the response to a large request as a multiple of its decoded size,
// until the size is known.
const answerShare = 2

// heavyWork is roughly how long a large request may keep its slot.
const heavyWork = 20 * time.Millisecond

// work charges the decoded and response bytes of a large request, waiting for the budget, and
// returns its slot. Few large requests are processed at once, so that however many arrive,
// others still get CPU time.
func (c *conn) work(ctx context.Context, p *pending, bytes int64) (*pipeline.Permit, error) {
	p.work = c.s.admission.Work(c.who, bytes)
	if err := p.work.Grow(ctx, bytes); err != nil {
		return nil, fmt.Errorf("admission of %d bytes of work: %w", bytes, err)
	}
	return c.s.places.Acquire(ctx, c.who)
}

// discard releases what a request holds.
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
