package quic

import (
	"context"
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/ingress/door"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// serve lets streams of a connection in until it ends, stays unused, or the door
// is closed; then it waits for those it has, and ends the connection.
func (d *Listener) serve(ctx context.Context, qc *quicgo.Conn, handle func(context.Context, net.Conn, kafka.ConnInfo) error) {
	defer d.windows.forget(qc)
	state := qc.ConnectionState().TLS
	network := d.id()
	use := newUse(d.cfg.UnusedTimeout)
	defer use.stop()
	var streams sync.WaitGroup
	why := "the broker is shutting down"
	for {
		s, err := d.next(qc, use)
		if err != nil {
			if d.closing.Err() == nil {
				why = "unused"
			}
			break
		}
		leave, err := d.streams.Enter(qc.RemoteAddr(), door.StreamBytes)
		if err != nil {
			d.refused.Inc()
			s.CancelRead(quicnet.CodeRefused)
			s.CancelWrite(quicnet.CodeRefused)
			continue
		}
		info := kafka.ConnInfo{ID: d.id(), Network: network, Transport: "quic", Remote: qc.RemoteAddr(), Local: qc.LocalAddr(), TLS: &state}
		use.begin()
		streams.Go(func() {
			defer use.end()
			defer leave()
			c := quicnet.NewConn(qc, s)
			_ = handle(ctx, c, info) // why it ended is logged by the one who served it
			c.Close()
			c.Linger(lingerTime)
		})
	}
	streams.Wait()
	_ = qc.CloseWithError(quicnet.CodeNone, why) // has no error to return
}

// next waits for a stream.
func (d *Listener) next(qc *quicgo.Conn, use *use) (*quicgo.Stream, error) {
	ctx, cancel := context.WithCancel(d.closing)
	defer cancel()
	defer context.AfterFunc(use.unused, cancel)()
	return qc.AcceptStream(ctx)
}

// use tells when a connection has had no stream for a while.
type use struct {
	timeout time.Duration
	unused  context.Context // done when it is so
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

// check runs when the timer fires. A stream may have begun since.
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
