package quic

import (
	"context"
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// serve accepts streams on a connection until the connection ends, goes unused for too long, or
// the listener closes. Then it waits for its streams and closes the connection.
func (l *Listener) serve(ctx context.Context, qc *quicgo.Conn, handle func(context.Context, net.Conn, kafka.ConnInfo) error) {
	defer l.windows.forget(qc)
	state := qc.ConnectionState().TLS
	network := l.id()
	use := newUse(l.cfg.UnusedTimeout)
	defer use.stop()
	var streams sync.WaitGroup
	why := "the broker is shutting down"
	for {
		s, err := l.next(qc, use)
		if err != nil {
			if l.closing.Err() == nil {
				why = "unused"
			}
			break
		}
		leave, err := l.streams.Enter(qc.RemoteAddr(), listener.StreamBytes)
		if err != nil {
			l.refused.Inc()
			s.CancelRead(quicnet.CodeRefused)
			s.CancelWrite(quicnet.CodeRefused)
			continue
		}
		info := kafka.ConnInfo{ID: l.id(), Network: network, Transport: "quic", Remote: qc.RemoteAddr(), Local: qc.LocalAddr(), TLS: &state}
		use.begin()
		streams.Go(func() {
			defer use.end()
			defer leave()
			c := quicnet.NewConn(qc, s)
			_ = handle(ctx, c, info) // the handler has logged why it ended
			c.Close()
			c.Linger(lingerTime)
		})
	}
	streams.Wait()
	_ = qc.CloseWithError(quicnet.CodeNone, why) // never fails
}

// next waits for the next stream.
func (l *Listener) next(qc *quicgo.Conn, use *use) (*quicgo.Stream, error) {
	ctx, cancel := context.WithCancel(l.closing)
	defer cancel()
	defer context.AfterFunc(use.unused, cancel)()
	return qc.AcceptStream(ctx)
}

// use detects that a connection has had no stream for a while.
type use struct {
	timeout time.Duration
	unused  context.Context // done once the connection has gone unused for too long
	expire  context.CancelFunc

	mu      sync.Mutex
	streams int
	timer   *time.Timer
}

func newUse(timeout time.Duration) *use {
	u := &use{timeout: timeout}
	u.unused, u.expire = context.WithCancel(context.Background())
	u.timer = time.AfterFunc(timeout, u.check)
	return u
}

// check runs when the timer fires. A stream may have started since.
func (u *use) check() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streams == 0 {
		u.expire()
	}
}

func (u *use) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.streams++
	u.timer.Stop()
}

func (u *use) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streams--; u.streams == 0 {
		u.timer.Reset(u.timeout)
	}
}

func (u *use) stop() {
	u.timer.Stop()
	u.expire()
}
