package feed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

// Authority is what ends the sessions of brokers in the metadata.
type Authority interface {
	// Leads reports whether this controller leads shard 0.
	Leads() bool
	// Brokers returns the brokers as this controller has them in shard 0.
	Brokers() ([]Registered, error)
	// Confirm returns nil if this controller's state of shard 0 is current and it still leads.
	Confirm(ctx context.Context) error
	// Fence ends the session of a broker in one shard, so that the next one has the number after it.
	// meta.ErrStaleSession: that is done, or a later session has begun. meta.ErrStaleIncarnation: the
	// broker has started again.
	Fence(ctx context.Context, shard int, r Registered) error
}

// sessions drives leases: it watches them while this controller leads shard 0, and fences the
// brokers whose sessions have ended, in shard 0 first.
type sessions struct {
	authority Authority
	shards    int // partition shards
	cfg       Config
	log       *slog.Logger
	metrics   *serverMetrics

	life  context.Context
	tasks sync.WaitGroup
	woken chan struct{} // capacity 1

	mu      sync.Mutex
	leases  *leases
	fencing map[ending]struct{} // under way
	// ended has the last sessions that were fenced in all shards since this controller leads, by
	// broker.
	ended  map[int32]ending
	lookAt map[int32]time.Time // when to look whether a broker listens; zero: that is under way
}

// ending is a session that ends.
type ending struct {
	broker      int32
	incarnation uint64
	number      uint64
}

// checkPause is how often leadership is looked at.
const checkPause = 50 * time.Millisecond

func newSessions(life context.Context, a Authority, shards int, cfg Config, log *slog.Logger, m *serverMetrics) *sessions {
	return &sessions{authority: a, shards: shards, cfg: cfg, log: log, metrics: m, life: life, woken: make(chan struct{}, 1),
		leases: newLeases(cfg.Lease, cfg.Grace), fencing: make(map[ending]struct{}), ended: make(map[int32]ending), lookAt: make(map[int32]time.Time)}
}

func (s *sessions) opened(broker int32, incarnation uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases.opened(broker, incarnation, time.Now())
}

func (s *sessions) heard(broker int32, incarnation uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases.heard(broker, incarnation, time.Now())
}

func (s *sessions) broke(broker int32, incarnation uint64) {
	s.mu.Lock()
	s.leases.broke(broker, incarnation, time.Now())
	s.mu.Unlock()
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// count returns the number of brokers that have a stream here.
func (s *sessions) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.leases.sessions {
		if x.streams > 0 {
			n++
		}
	}
	return n
}

// run watches the sessions until the server is closed.
func (s *sessions) run() {
	timer := time.NewTimer(checkPause)
	defer timer.Stop()
	for {
		select {
		case <-s.woken:
		case <-timer.C:
		case <-s.life.Done():
			s.tasks.Wait()
			return
		}
		next := s.check()
		timer.Reset(min(max(time.Until(next), time.Millisecond), checkPause))
	}
}

// check ends the sessions that are due and returns when to check again.
//
// A broker that shard 0 has fenced already is fenced in the other shards once more, since the leader
// before may not have completed that. Its next session, which no longer begins then, is ended as well:
// it may be live in that in some shards. Like any other it is given time to open a session first: it
// may be a process that is just getting ready.
func (s *sessions) check() time.Time {
	leads, now := s.authority.Leads(), time.Now()
	s.mu.Lock()
	s.leases.leader(leads, now)
	if !leads {
		clear(s.ended)
	}
	s.mu.Unlock()
	if !leads {
		return now.Add(checkPause)
	}
	brokers, err := s.authority.Brokers()
	if err != nil {
		return now.Add(checkPause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	due, next := s.leases.due(brokers, time.Now())
	for _, r := range due {
		key := ending{r.Broker, r.Incarnation, r.Session}
		if s.isFenced(r) || s.isFencing(key) {
			continue
		}
		s.fencing[key] = struct{}{}
		s.tasks.Go(func() {
			done := s.fence(r)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.fencing, key)
			if done && s.leases.leads {
				s.ended[r.Broker] = key
			}
		})
	}
	s.look(brokers, now)
	s.forget(brokers)
	return next
}

// The pause between two looks whether a broker listens, and the longest wait for one.
const (
	lookPause = 200 * time.Millisecond
	lookTime  = time.Second
)

// look looks whether the processes listen of which nothing is heard. REQUIRES: mu is held.
func (s *sessions) look(brokers []Registered, now time.Time) {
	for _, r := range brokers {
		at, known := s.lookAt[r.Broker]
		if r.Fenced || r.Address == "" || !s.leases.unheard(r) {
			if !at.IsZero() {
				delete(s.lookAt, r.Broker)
			}
			continue
		}
		if known && (at.IsZero() || now.Before(at)) {
			continue
		}
		s.lookAt[r.Broker] = time.Time{}
		s.tasks.Go(func() {
			listens := s.listens(r.Address)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.leases.looked(r, listens, time.Now())
			s.lookAt[r.Broker] = time.Now().Add(lookPause)
		})
	}
}

// listens reports whether a process may listen at an address: that is certain only if the connection is
// refused.
func (s *sessions) listens(address string) bool {
	ctx, cancel := context.WithTimeout(s.life, lookTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}

func (s *sessions) isFencing(e ending) bool {
	_, under := s.fencing[e]
	return under
}

// isFenced reports whether a broker is fenced in shard 0, and in the others or soon.
func (s *sessions) isFenced(r Registered) bool {
	if !r.Fenced || r.Session == 0 {
		return false
	}
	before := ending{r.Broker, r.Incarnation, r.Session - 1}
	return s.isFencing(before) || s.ended[r.Broker] == before
}

// forget forgets brokers that are no longer registered.
func (s *sessions) forget(registered []Registered) {
	for b := range s.ended {
		if !slices.ContainsFunc(registered, func(r Registered) bool { return r.Broker == b }) {
			delete(s.ended, b)
		}
	}
	for b, at := range s.lookAt {
		if !at.IsZero() && !slices.ContainsFunc(registered, func(r Registered) bool { return r.Broker == b }) {
			delete(s.lookAt, b)
		}
	}
}

// fence fences a broker, in shard 0 first, and reports whether all shards have done so.
func (s *sessions) fence(r Registered) bool {
	began := time.Now()
	err := s.confirm(r)
	if err == nil {
		err = s.authority.Fence(s.life, 0, r)
	}
	if err != nil { // the next check decides again
		s.log.Warn("a broker without a session is not fenced", "broker", r.Broker, "incarnation", r.Incarnation, "err", err)
		return false
	}
	if !r.Fenced {
		s.metrics.fenced.Inc()
		s.log.Warn("a broker is fenced: its session has ended", "broker", r.Broker, "incarnation", r.Incarnation)
	}
	var g sync.WaitGroup
	var failed atomic.Bool
	for shard := 1; shard <= s.shards; shard++ {
		g.Go(func() {
			if !s.fenceIn(shard, r) {
				failed.Store(true)
			}
		})
	}
	g.Wait()
	s.log.Info("the fencing of a broker has ended", "broker", r.Broker, "incarnation", r.Incarnation, "complete", !failed.Load(), "took", time.Since(began))
	return !failed.Load()
}

// confirm makes sure that this controller still leads, and that the broker has not opened a session
// while it was asking.
func (s *sessions) confirm(r Registered) error {
	ctx, cancel := context.WithTimeout(s.life, s.cfg.Lease)
	defer cancel()
	if err := s.authority.Confirm(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.leases.pass(now)
	if s.leases.ends(r, now).After(now) {
		return errResumed
	}
	return nil
}

// fenceIn fences a broker in a partition shard, however long it takes to reach that, as long as this
// controller leads shard 0 and the broker has no session. The next leader completes it.
func (s *sessions) fenceIn(shard int, r Registered) bool {
	for pause := s.cfg.ReconnectMin; ; pause = min(2*pause, s.cfg.ReconnectMax) {
		err := s.authority.Fence(s.life, shard, r)
		if err == nil || errors.Is(err, meta.ErrStaleSession) || errors.Is(err, meta.ErrStaleIncarnation) {
			return true
		}
		s.log.Warn("a broker is not fenced in a shard yet", "broker", r.Broker, "incarnation", r.Incarnation, "shard", shard, "err", err)
		select {
		case <-time.After(pause):
		case <-s.life.Done():
			return false
		}
		if !s.authority.Leads() || s.resumed(r) {
			return false
		}
	}
}

func (s *sessions) resumed(r Registered) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return s.leases.ends(r, now).After(now)
}
