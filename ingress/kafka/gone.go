package kafka

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// errGone means that the client has closed the connection.
var errGone = fault.Transient(kerr.RequestTimedOut, "the client has disconnected")

const (
	// goneGrace is how long responses are still sent to a client that has closed its side.
	goneGrace = time.Second
	// goneCheck is how often a connection that is not being read is checked.
	goneCheck = time.Second
)

// hangupWatch detects that a client disconnects while its connection is not being read, because a
// handler or the budget holds it up: the end of the stream is hidden behind unread requests.
type hangupWatch struct {
	busy  atomic.Bool
	timer *time.Timer
}

// start sets up the watch; gone is called once, when the client has disconnected.
func (w *hangupWatch) start(nc net.Conn, gone func()) {
	w.timer = time.AfterFunc(goneCheck, func() {
		switch {
		case !w.busy.Load():
		case hungUp(nc):
			gone()
		default:
			w.timer.Reset(goneCheck)
		}
	})
	w.timer.Stop()
}

// begin and done enclose anything that may block for long.
func (w *hangupWatch) begin() {
	w.busy.Store(true)
	w.timer.Reset(goneCheck)
}

func (w *hangupWatch) done() {
	w.busy.Store(false)
	w.timer.Stop()
}

func (w *hangupWatch) stop() { w.done() }

// hungUp reports whether the peer has closed the connection, or its side of it; false if
// unknown.
func hungUp(nc net.Conn) bool {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if g, ok := nc.(interface{ Gone() bool }); ok {
		return g.Gone()
	}
	s, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	if err := raw.Control(func(fd uintptr) { gone = polledGone(int(fd)) }); err != nil {
		return true // closed on this side
	}
	return gone
}
