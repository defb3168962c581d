package quicnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// Error codes of connections and streams.
const (
	CodeNone    = 0 // normal end of a connection
	CodeAborted = 1 // a stream whose data is incomplete
	CodeRefused = 2 // a connection or stream beyond a limit
)

// Conn is a QUIC stream as a net.Conn. Read and Write may run concurrently, and Close at any time.
type Conn struct {
	stream *quic.Stream
	conn   *quic.Conn

	closed atomic.Bool
	wrote  atomic.Int64 // when the last write ended, Unix nanoseconds; 0: never
	mu     sync.Mutex   // serializes Writes, and Writes with the end of the stream
	torn   bool         // a Write was incomplete; the peer must not take the data for complete
}

// NewConn wraps a stream of a connection.
func NewConn(c *quic.Conn, s *quic.Stream) *Conn { return &Conn{stream: s, conn: c} }

// Read reads into b. It returns io.EOF when the peer has closed the stream, or the connection
// without an error.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	if err != nil {
		err = c.mapped("read", err, io.EOF)
	}
	return n, err
}

// Write writes b. As with a socket, it returns before the peer has received the data.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return 0, c.opError("write", net.ErrClosed)
	}
	n, err := c.stream.Write(b)
	c.wrote.Store(time.Now().UnixNano())
	if err != nil {
		c.torn = c.torn || n < len(b)
		err = c.mapped("write", err, os.NewSyscallError("write", syscall.EPIPE))
	}
	return n, err
}

// Close ends the stream. A running Read or Write returns net.ErrClosed. Data written before
// reaches the peer while the connection lives, see Linger. After an incomplete Write, Close
// resets the stream instead.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	past := time.Unix(1, 0)
	_ = c.stream.SetReadDeadline(past) // deadlines never fail
	_ = c.stream.SetWriteDeadline(past)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.torn {
		c.stream.CancelWrite(CodeAborted)
		return nil
	}
	_ = c.stream.Close() // fails only if the peer has stopped reading
	return nil
}

// Gone reports whether the peer has ended the connection or has stopped reading the stream. It
// reads no data.
func (c *Conn) Gone() bool { return c.conn.Context().Err() != nil || c.stream.Context().Err() != nil }

// Linger waits until the peer has ended the stream too, which it does once it has read
// everything, and discards what it still sends. At most d after the last Write, it tells the
// peer to stop. Call it once, after Close.
func (c *Conn) Linger(d time.Duration) {
	last := c.wrote.Load()
	if until := time.Unix(0, last).Add(d); last != 0 && time.Now().Before(until) {
		_ = c.stream.SetReadDeadline(until)
		_, _ = io.Copy(io.Discard, c.stream)
	}
	c.stream.CancelRead(CodeNone)
}

// LocalAddr returns the address of this end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of Reads, including a running one.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.deadline(t, c.stream.SetReadDeadline) }

// SetWriteDeadline sets the deadline of Writes, including a running one.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.deadline(t, c.stream.SetWriteDeadline) }

// deadline sets a deadline, unless Close has set the final one.
func (c *Conn) deadline(t time.Time, set func(time.Time) error) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	if err := set(t); err != nil {
		return err
	}
	if c.closed.Load() {
		return set(time.Unix(1, 0))
	}
	return nil
}

// mapped translates an error of the stream to that of a socket. ended is the result if the peer
// has ended the stream or the connection without an error.
func (c *Conn) mapped(op string, err, ended error) error {
	var stream *quic.StreamError
	var app *quic.ApplicationError
	switch {
	case errors.Is(err, io.EOF):
		return err
	case c.closed.Load():
		err = net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.As(err, &stream) && stream.Remote && stream.ErrorCode == CodeNone,
		errors.As(err, &app) && app.Remote && app.ErrorCode == CodeNone:
		if errors.Is(ended, io.EOF) {
			return ended // unwrapped, as every reader expects it
		}
		err = ended
	case stream != nil && stream.Remote:
		err = os.NewSyscallError(op, syscall.ECONNRESET)
	}
	return c.opError(op, err)
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "quic", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
