package kafka

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/pipeline"
)

// conn is one connection. One goroutine reads requests and starts their handlers in order;
// another writes the responses in the same order. The writer may outlive the connection, to
// finish requests in progress.
type conn struct {
	s    *Server
	nc   net.Conn
	info ConnInfo
	who  pipeline.Holder

	queue    chan *pending // requests in order of arrival; its capacity limits them
	owed     atomic.Int64  // responses not yet written
	draining atomic.Bool   // the server takes no more requests
	ended    atomic.Bool   // the client is gone; remaining responses are dropped
	last     *pending      // did not fit into the queue; set before the queue is closed
	failed   chan struct{} // closed when writing to the client fails
	failure  error         // why; set before failed is closed
	hangup   hangupWatch   // detects that the client left while the connection is not being read
	in       source
	buffer   *bufio.Reader // of in; nil while the connection is silent
	out      sink
	served   bool // a request was received
}

func newConn(s *Server, nc net.Conn, info ConnInfo) *conn {
	c := &conn{s: s, nc: nc, info: info, queue: make(chan *pending, s.cfg.Outstanding), failed: make(chan struct{}),
		who: pipeline.Holder{Conn: info.Network, Addr: listener.Address(info.Remote)}}
	if c.who.Conn == 0 {
		c.who.Conn = info.ID
	}
	c.in, c.out = source{c: c, pace: pace{cfg: &s.cfg}}, sink{nc: nc, pace: pace{cfg: &s.cfg}}
	return c
}

// drain ends the read loop at the next frame boundary.
func (c *conn) drain() {
	c.draining.Store(true)
	c.interrupt()
}

// interrupt ends a pending read.
func (c *conn) interrupt() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) }

func (c *conn) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), errGone) {
			c.drain()
		}
	})
	defer stop()
	c.hangup.start(c.nc, func() { cancel(errGone) })
	wrote := make(chan error, 1)
	c.s.wg.Add(1)
	go func() {
		defer c.s.wg.Done()
		wrote <- c.write()
	}()
	readErr := c.read(ctx)
	c.hangup.stop()
	if !c.draining.Load() {
		cancel(errGone) // cancel work still waiting on the client's behalf
	}
	close(c.queue)
	writeErr := c.lastAnswers(readErr, wrote)
	c.nc.Close()
	if c.draining.Load() || c.isFailed() || errors.Is(readErr, io.EOF) || errors.Is(readErr, errGone) {
		readErr = nil
	}
	return errors.Join(readErr, writeErr)
}

// lastAnswers waits until all responses are written. If the client has closed its side, it
// waits at most goneGrace: requests still in progress then continue without a connection, and
// their responses are dropped.
func (c *conn) lastAnswers(readErr error, wrote <-chan error) error {
	if c.draining.Load() {
		return <-wrote
	}
	grace := goneGrace
	if !errors.Is(readErr, io.EOF) {
		grace = 0
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-wrote:
		return err
	case <-timer.C:
	}
	c.ended.Store(true) // from now on write only waits for the handlers
	c.nc.Close()
	if c.isFailed() && !errors.Is(c.failure, errClosedByHandler) {
		return c.failure
	}
	return nil
}

// read starts the handlers of all requests until the connection ends.
func (c *conn) read(ctx context.Context) error {
	c.buffer = borrowReader(&c.in)
	defer func() { returnReader(c.buffer) }()
	var fixed [4 + fixedHeader]byte
	for {
		if err := c.awaitFrame(); err != nil {
			return err
		}
		c.in.begin()
		p, err := c.next(ctx, c.buffer, &fixed)
		if err != nil {
			return err
		}
		c.owed.Add(1)
		select {
		case c.queue <- p:
		case <-ctx.Done():
			c.last = p
			return context.Cause(ctx)
		}
		c.hangup.done()
		select {
		case <-c.failed:
			return nil
		default:
		}
	}
}

// next reads one request and starts its handler.
func (c *conn) next(ctx context.Context, in *bufio.Reader, fixed *[4 + fixedHeader]byte) (*pending, error) {
	h, size, err := readFixed(in, fixed)
	if err != nil {
		return nil, err
	}
	c.hangup.begin()
	p, err := c.take(ctx, in, &h, size)
	if errors.Is(err, errTooSlow) {
		c.s.slow("request", c)
	}
	return p, err
}

// awaitFrame waits for the first byte of a frame: without limit while responses are pending,
// else until the idle timeout. A connection that has not sent a request yet gets only the time
// that a request may take. A silent connection returns its buffer to the pool meanwhile.
func (c *conn) awaitFrame() error {
	c.in.end()
	if c.buffer.Buffered() > 0 {
		return nil
	}
	idle := c.s.cfg.IdleTimeout
	if !c.served {
		idle = min(idle, c.s.cfg.TransferTimeout)
	}
	keep := min(idle, keepReader)
	err := c.await(keep, func() error { _, err := c.buffer.Peek(1); return err })
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.isFailed() || c.draining.Load() {
		return err
	}
	returnReader(c.buffer)
	c.buffer = nil // drop the reference so that the pool can reuse it
	for wait := idle - keep; ; wait = idle {
		if wait > 0 {
			err = c.await(wait, c.in.first)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.draining.Load() || c.owed.Load() == 0 || c.isFailed() {
			c.buffer = borrowReader(&c.in)
			return err
		}
	}
}

// await reads with a deadline. It returns io.EOF if the connection should end.
func (c *conn) await(within time.Duration, read func() error) error {
	if err := c.nc.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if c.draining.Load() || c.isFailed() { // their deadline may have been set before ours
		return io.EOF
	}
	return read()
}

func (c *conn) isFailed() bool {
	select {
	case <-c.failed:
		return true
	default:
		return false
	}
}
