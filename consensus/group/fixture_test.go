package group

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// store is an in-memory Store. Writes take delay, and fail while fail is set.
type store struct {
	mu      sync.Mutex
	view    *meta.View
	groups  map[string]*meta.Group
	delay   time.Duration
	fail    error
	offline []string
	changes []meta.GroupChange
	atOnce  int // overlapping writes of one group
	busy    map[string]int
}

func newStore(topics ...*meta.Topic) *store {
	return &store{view: meta.NewView(1, "c", 1, nil, topics), groups: make(map[string]*meta.Group), delay: time.Millisecond, busy: make(map[string]int)}
}

func newTopic(name string, partitions int) *meta.Topic {
	t := &meta.Topic{Name: name, ID: topic.NewID()}
	for range partitions {
		t.Partitions = append(t.Partitions, &meta.Partition{})
	}
	return t
}

func (s *store) View() *meta.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

func (s *store) setTopics(topics ...*meta.Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = meta.NewView(s.view.Version+1, "c", 1, nil, topics)
}

func (s *store) setFailure(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *store) setDelay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

func (s *store) Groups() []*meta.Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*meta.Group
	for _, g := range s.groups {
		all = append(all, g)
	}
	return all
}

func (s *store) setOffline(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offline = names
}

func (s *store) GroupOffline(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.offline, name) {
		return meta.ErrUnavailable
	}
	return nil
}

func (s *store) Group(name string) (*meta.Group, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[name]
	return g, ok
}

func (s *store) ChangeGroup(ctx context.Context, name string, c meta.GroupChange) error {
	s.mu.Lock()
	s.busy[name]++
	s.atOnce = max(s.atOnce, s.busy[name])
	delay := s.delay
	s.mu.Unlock()
	var err error
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		err = meta.ErrUnavailable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[name]--
	if s.fail != nil {
		err = s.fail
	}
	if err != nil {
		return err
	}
	s.changes = append(s.changes, c)
	s.apply(name, c)
	return nil
}

func (s *store) apply(name string, c meta.GroupChange) {
	if c.Delete {
		delete(s.groups, name)
		return
	}
	g := &meta.Group{Name: name}
	if old, ok := s.groups[name]; ok {
		*g = *old
	}
	kept := g.Offsets
	if c.State != nil {
		*g = *c.State
	}
	g.Offsets = maps.Clone(kept)
	if g.Offsets == nil {
		g.Offsets = make(map[topic.Partition]meta.CommittedOffset)
	}
	maps.Copy(g.Offsets, c.Set)
	for _, p := range c.Clear {
		delete(g.Offsets, p)
	}
	s.groups[name] = g
}

// harness is a coordinator with a store, in a synctest bubble.
type harness struct {
	host  string // of clients; 127.0.0.1 unless set
	t     *testing.T
	store *store
	cfg   Config
	log   slog.Handler // nil: discard
	reg   *prometheus.Registry
	c     *Coordinator
}

func start(t *testing.T, s *store, cfg Config) *harness {
	t.Helper()
	h := &harness{t: t, store: s, cfg: cfg}
	h.open()
	t.Cleanup(func() { h.c.Close() })
	return h
}

func (h *harness) open() {
	h.t.Helper()
	h.reg = prometheus.NewPedanticRegistry()
	if h.log == nil {
		h.log = slog.DiscardHandler
	}
	c, err := New(h.cfg, h.store, clock.System{}, slog.New(h.log), h.reg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.c = c
}

// restart closes the coordinator and opens a new one on the same store.
func (h *harness) restart() {
	h.t.Helper()
	h.c.Close()
	h.open()
}

// call is one request in progress.
type call struct {
	t     *testing.T
	what  kmsg.Request
	at    time.Time
	mu    sync.Mutex
	resps []kmsg.Response
}

// send sends req, encoded and decoded as on a connection.
func (h *harness) send(version int16, req kmsg.Request) *call {
	h.t.Helper()
	req.SetVersion(version)
	body := kmsg.RequestForKey(req.Key())
	body.SetVersion(version)
	if err := body.ReadFrom(req.AppendTo(nil)); err != nil {
		h.t.Fatal(err)
	}
	c := &call{t: h.t, what: req, at: time.Now()}
	host := h.host
	if host == "" {
		host = "/127.0.0.1"
	}
	h.c.Serve(context.Background(), "client", host, version, body, func(resp kmsg.Response) {
		resp.SetVersion(version)
		raw := resp.AppendTo(nil)
		got := kmsg.ResponseForKey(req.Key())
		got.SetVersion(version)
		if err := got.ReadFrom(raw); err != nil {
			h.t.Errorf("%T v%d does not decode: %v", resp, version, err)
		}
		c.mu.Lock()
		c.resps = append(c.resps, got)
		c.mu.Unlock()
	})
	return c
}

// answers returns the responses so far.
func (c *call) answers() []kmsg.Response {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resps
}

// answer waits up to a minute for the single response.
func answer[R kmsg.Response](t *testing.T, c *call) R {
	t.Helper()
	for range 600 {
		if got := c.answers(); len(got) > 0 {
			if len(got) > 1 {
				t.Fatalf("%T got %d responses", c.what, len(got))
			}
			return got[0].(R)
		}
		time.Sleep(100 * time.Millisecond) // fake clock
	}
	t.Fatalf("%T got no response", c.what)
	panic("unreachable")
}

func devConfig() Config {
	cfg := DefaultConfig()
	cfg.InitialRebalanceDelay = 0
	return cfg
}

// used returns what all groups are charged.
func (h *harness) used() amount {
	synctest.Wait()
	now, _ := h.c.quota.now()
	return now
}
