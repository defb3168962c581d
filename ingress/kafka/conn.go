package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one connection: a goroutine that reads requests and starts their
// handlers in order, and one that writes the answers in the same order.
type conn struct {
	s    *Server
	nc   net.Conn
	info ConnInfo

	queue    chan *pending // requests in order of arrival; its capacity bounds them
	owed     atomic.Int64  // answers not written yet
	draining atomic.Bool   // the server wants no more requests
	failed   chan struct{} // closed when the client takes no more answers
}

// pending is a request whose answer is not written yet.
type pending struct {
	api           *served
	version       int16
	correlationID int32
	flexible      bool
	frame         *[]byte
	leave         func() // refunds the frame
	began         time.Time

	resp    Response
	replied atomic.Bool
	done    chan struct{} // closed once resp is set
}

// reply is what the handler calls.
func (p *pending) reply(r Response) {
	if p.replied.Swap(true) {
		panic("kafka: a request was answered twice")
	}
	p.resp = r
	close(p.done)
}

func newConn(s *Server, nc net.Conn, info ConnInfo) *conn {
	return &conn{s: s, nc: nc, info: info, queue: make(chan *pending, s.cfg.Outstanding), failed: make(chan struct{})}
}

// drain makes the read loop end at the next frame.
func (c *conn) drain() {
	c.draining.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.drain() })
	defer stop()
	wrote := make(chan error, 1)
	go func() { wrote <- c.write() }()
	readErr := c.read(ctx)
	if !c.draining.Load() {
		cancel() // the client is gone: whoever still waits on its behalf should not
	}
	close(c.queue)
	writeErr := <-wrote
	c.nc.Close()
	if c.draining.Load() || c.isFailed() || errors.Is(readErr, io.EOF) {
		readErr = nil
	}
	return errors.Join(readErr, writeErr)
}

// read starts the handlers of all requests until the connection ends.
func (c *conn) read(ctx context.Context) error {
	in := bufio.NewReaderSize(c.nc, 8<<10)
	var fixed [4 + fixedHeader]byte
	for {
		if err := c.awaitFrame(in); err != nil {
			return err
		}
		h, size, err := readFixed(in, &fixed)
		if err != nil {
			return err
		}
		p, err := c.take(ctx, in, &h, size)
		if err != nil {
			return err
		}
		c.owed.Add(1)
		c.queue <- p // write takes all of them, even when it cannot write any more
		select {
		case <-c.failed:
			return nil
		default:
		}
	}
}

// awaitFrame waits for the first byte of a frame: for ever while answers are
// owed, else until the connection counts as idle.
func (c *conn) awaitFrame(in *bufio.Reader) error {
	for {
		if in.Buffered() > 0 {
			return nil
		}
		if err := c.nc.SetReadDeadline(time.Now().Add(c.s.cfg.IdleTimeout)); err != nil {
			return err
		}
		if c.draining.Load() || c.isFailed() { // their deadline may have come before ours
			return io.EOF
		}
		_, err := in.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.draining.Load() && c.owed.Load() > 0 && !c.isFailed() {
			continue
		}
		return err
	}
}

func (c *conn) isFailed() bool {
	select {
	case <-c.failed:
		return true
	default:
		return false
	}
}

// take reads the rest of a frame and starts its handler.
func (c *conn) take(ctx context.Context, in io.Reader, h *header, size int) (*pending, error) {
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
	leave, err := c.s.admission.Enter(ctx, h.key, frameMemory(size))
	if err != nil {
		return nil, fmt.Errorf("admission of %d bytes: %w", size, err)
	}
	p := &pending{api: api, version: h.version, correlationID: h.correlationID, leave: leave,
		frame: c.s.frames.get(size), began: time.Now(), done: make(chan struct{})}
	c.s.metrics.in.Add(float64(size + 4 + fixedHeader))
	if _, err := io.ReadFull(in, *p.frame); err != nil {
		c.discard(p)
		return nil, fmt.Errorf("read a frame of %d bytes: %w", size, err)
	}
	if err := c.start(ctx, p, h); err != nil {
		c.discard(p)
		return nil, err
	}
	return p, nil
}

// start decodes the request and calls its handler.
func (c *conn) start(ctx context.Context, p *pending, h *header) error {
	if h.version < p.api.Min || h.version > p.api.Max {
		return c.unsupported(p, h)
	}
	body := kmsg.RequestForKey(h.key)
	body.SetVersion(h.version)
	p.flexible = body.IsFlexible()
	rest, err := h.finish(*p.frame, p.flexible)
	if err != nil {
		return err
	}
	if err := prescan(h.key, h.version, rest); err != nil {
		return err
	}
	if err := body.ReadFrom(rest); err != nil {
		return fmt.Errorf("%w: %s: %w", errMalformed, kmsg.NameForKey(h.key), err)
	}
	c.call(ctx, p, &Request{Conn: c.info, Key: h.key, Version: h.version, CorrelationID: h.correlationID,
		ClientID: h.clientID, Body: body})
	return nil
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

// discard gives back what a request holds.
func (c *conn) discard(p *pending) {
	if p.resp.Release != nil {
		p.resp.Release()
	}
	c.s.frames.put(p.frame)
	p.leave()
}

// write writes answers in the order of their requests until the queue is closed
// or the client fails; then it waits for the handlers that are left.
func (c *conn) write() error {
	out := writers.Get().(*bufio.Writer)
	out.Reset(c.nc)
	var scratch []byte
	var failure error
	fail := func(err error) {
		if failure == nil {
			failure = err
			close(c.failed)
			_ = c.nc.SetReadDeadline(time.Unix(1, 0))
		}
	}
	for p := range c.queue {
		if failure == nil && out.Buffered() > 0 && !p.replied.Load() {
			if err := c.flush(out); err != nil {
				fail(err)
			}
		}
		<-p.done
		if failure == nil {
			var err error
			if scratch, err = c.writeOne(out, p, scratch); err == nil && len(c.queue) == 0 {
				err = c.flush(out)
			}
			if err != nil {
				fail(err)
			}
		}
		c.discard(p)
		c.owed.Add(-1)
		if failure == nil && p.resp.Close {
			fail(errClosedByHandler)
		}
	}
	if failure == nil {
		failure = c.flush(out)
	}
	out.Reset(nil)
	writers.Put(out)
	if errors.Is(failure, errClosedByHandler) {
		return nil
	}
	return failure
}

var errClosedByHandler = errors.New("closed by a handler")

func (c *conn) flush(out *bufio.Writer) error {
	if out.Buffered() == 0 {
		return nil
	}
	return out.Flush()
}

// writeOne writes one answer; scratch is memory to encode into.
func (c *conn) writeOne(out *bufio.Writer, p *pending, scratch []byte) ([]byte, error) {
	defer func() { p.api.requests.Inc(); p.api.seconds.Observe(time.Since(p.began).Seconds()) }()
	r := &p.resp
	if r.Silent {
		return scratch, nil
	}
	if r.Message == nil && r.Body == nil {
		return scratch, errClosedByHandler
	}
	scratch = appendHeader(scratch[:0], p.api.Key, p.correlationID, p.flexible)
	if r.Message != nil {
		scratch = r.Message.AppendTo(scratch)
	}
	size := len(scratch) - 4
	for _, b := range r.Body {
		size += len(b)
	}
	if size > math.MaxInt32 {
		return scratch, fmt.Errorf("an answer of %d bytes does not fit a frame", size)
	}
	binary.BigEndian.PutUint32(scratch, uint32(size))
	c.s.metrics.out.Add(float64(size + 4))
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout)); err != nil {
		return scratch, err
	}
	if _, err := out.Write(scratch); err != nil {
		return scratch, err
	}
	for _, b := range r.Body {
		if _, err := out.Write(b); err != nil {
			return scratch, err
		}
	}
	if cap(scratch) > 1<<20 {
		scratch = nil // one large answer is no reason to keep its memory
	}
	return scratch, nil
}
