package raftnet

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
)

// link sends Raft messages to one controller, over one connection after the other. It drops what
// it cannot send and reports no error: after one, dragonboat would not dial again for up to a
// second, in which a controller that is back can neither vote nor follow. Raft sends again what
// was lost, at the latest after the next heartbeat.
type link struct {
	net  *Net
	id   int32
	life context.Context
	stop context.CancelFunc
	sent connection // used by the one goroutine that sends

	mu      sync.Mutex
	conn    net.Conn      // nil while there is none
	dialing chan struct{} // closed when the dial in progress has ended; nil: none is
	next    time.Time     // when the next dial may begin
}

const (
	// redialPause is the least time between two dials of a controller that does not answer.
	redialPause = 50 * time.Millisecond
	// patience is how long messages wait for a dial in progress. They would be lost otherwise,
	// and with them often an election.
	patience = 100 * time.Millisecond
)

func (n *Net) link(id int32) *link {
	l := &link{net: n, id: id}
	l.life, l.stop = context.WithCancel(n.life)
	l.ready()
	return l
}

// Close ends the link.
func (l *link) Close() {
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
}

// SendMessageBatch sends messages, or drops them.
func (l *link) SendMessageBatch(b raftpb.MessageBatch) error {
	conn := l.ready()
	if conn == nil {
		return nil
	}
	l.sent.conn = conn
	if err := l.sent.SendMessageBatch(b); err != nil {
		l.net.cfg.Log.Debug("lost the connection to another controller", "controller", l.id, "err", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop()
	}
	return nil
}

// drop closes the connection. The caller holds mu.
func (l *link) drop() {
	if l.conn != nil {
		_ = l.conn.Close() // what it lost, Raft sends again
		l.conn = nil
	}
}

// ready returns the connection. If there is none, it starts to dial and waits a little.
func (l *link) ready() net.Conn {
	l.mu.Lock()
	conn, dialing := l.conn, l.dialing
	if conn == nil && dialing == nil && time.Now().After(l.next) && l.net.start(func() { l.dial() }) {
		l.dialing = make(chan struct{})
		dialing = l.dialing
	}
	l.mu.Unlock()
	if conn != nil || dialing == nil {
		return conn
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-dialing:
	case <-timer.C:
	case <-l.life.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

func (l *link) dial() {
	conn, _, err := l.net.dial(l.life, l.id, "")
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dialing)
	l.dialing, l.next = nil, time.Now().Add(redialPause)
	if l.life.Err() == nil {
		l.net.reached(l.id, err)
	}
	if err != nil {
		return
	}
	l.conn = conn
	if l.life.Err() != nil {
		l.drop()
		return
	}
	l.net.start(func() { l.watch(conn) })
}

// watch notices the end of a connection at once, although nothing is ever read from it: a write
// would notice only the second time.
func (l *link) watch(conn net.Conn) {
	defer context.AfterFunc(l.life, func() { _ = conn.Close() })()
	_, _ = conn.Read(make([]byte, 1)) // returns when the connection has ended
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == conn {
		l.drop()
	}
}
