package sluice

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// pool holds the QUIC connections to one broker.
type pool struct {
	d     *Dialer
	host  string
	slots []*slot
	wg    sync.WaitGroup // sessions
}

// slot holds one connection. Its turn is held while the connection is opened, so that all
// callers that want a stream wait for a single handshake.
type slot struct {
	turn     chan struct{} // held while reading or opening the session
	session  *session
	closed   bool
	failures int
	retryAt  time.Time

	mu    sync.Mutex
	users int // streams open or being opened
}

func newPool(d *Dialer, host string) *pool {
	p := &pool{d: d, host: host}
	for range d.cfg.Connections {
		p.slots = append(p.slots, &slot{turn: make(chan struct{}, 1)})
	}
	return p
}

// least returns the slot with the fewest streams, and counts one more on it.
func (p *pool) least() *slot {
	best, fewest := p.slots[0], int(^uint(0)>>1)
	for _, s := range p.slots {
		s.mu.Lock()
		if s.users < fewest {
			best, fewest = s, s.users
		}
		s.mu.Unlock()
	}
	best.use(1)
	return best
}

func (s *slot) use(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users += n
}

// stream opens a stream. If the connection turns out to be gone, it is replaced once.
func (p *pool) stream(ctx context.Context) (net.Conn, error) {
	s := p.least()
	for again := true; ; again = false {
		session, err := p.session(ctx, s)
		if err != nil {
			s.use(-1)
			return nil, err
		}
		c, err := session.open(ctx, func() { s.use(-1) })
		if err == nil {
			return c, nil
		}
		if !again || ctx.Err() != nil {
			s.use(-1)
			return nil, err
		}
	}
}

// session returns the connection of a slot, and opens it if necessary.
func (p *pool) session(ctx context.Context, s *slot) (*session, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.closed {
		return nil, errReleased
	}
	if s.session != nil && s.session.alive() {
		return s.session, nil
	}
	if err := sleepUntil(ctx, s.retryAt); err != nil {
		return nil, err
	}
	session, err := p.d.connect(ctx, p.host)
	if err != nil {
		if !errors.Is(err, context.Canceled) { // says nothing about the broker
			s.failures++
			s.retryAt = time.Now().Add(backoff(s.failures))
		}
		return nil, err
	}
	p.wg.Go(session.run)
	s.session, s.failures, s.retryAt = session, 0, time.Time{}
	return session, nil
}

// errReleased means that the pool is closed; there may be a new one by now.
var errReleased = errors.New("connections were released")

// close closes the connections and waits until they have ended.
func (p *pool) close() {
	for _, s := range p.slots {
		s.turn <- struct{}{}
		s.closed = true
		if s.session != nil {
			s.session.end()
		}
		<-s.turn
	}
	p.wg.Wait()
}

const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 2 * time.Second
)

// backoff returns the pause after that many failures in a row: doubling each time, half of it
// random, so that many clients do not come back at once.
func backoff(failures int) time.Duration {
	d := min(backoffMin<<min(failures-1, 10), backoffMax)
	return d/2 + rand.N(d/2)
}

func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
