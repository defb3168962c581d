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

// errGone: the client has ended the connection.
var errGone = fault.Transient(kerr.RequestTimedOut, "the client has gone")

const (
	// goneGrace is how long answers still go out to a client that has closed its side.
	goneGrace = time.Second
	// goneCheck is how often a connection that is not read from is looked at.
	goneCheck = time.Second
)

// watch notices that a client goes while its connection is not read from, since a
// handler or the budget holds it up: the end of the stream cannot be read behind
// requests that nobody takes yet.
type watch struct {
	busy  atomic.Bool
	timer *time.Timer
}

// start makes the watch; gone is called once, when the client has gone.
func (w *watch) start(nc net.Conn, gone func()) {
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

// begin and done are around what may take long.
func (w *watch) begin() {
	w.busy.Store(true)
	w.timer.Reset(goneCheck)
}

func (w *watch) done() {
	w.busy.Store(false)
	w.timer.Stop()
}

func (w *watch) stop() { w.done() }

// hungUp says whether the peer has ended the connection, or its side of it. Where
// that cannot be told it is taken to be there.
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
		return true // closed here
	}
	return gone
}
