package fetch

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/pipeline"
)

// Reader is the entry of the read pipeline: reads are filled in when the
// parcel's receipt settles.
type Reader interface {
	Submit(context.Context, pipeline.Parcel[*flow.Fetch]) error
}

// Deps is what the server calls. All of it is required.
type Deps struct {
	Lookup   *lookup.Lookup
	Reader   Reader
	Code     func(error) int16 // Kafka's error code; 0 for nil
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Server serves Fetch requests. All methods are safe for concurrent use.
type Server struct {
	cfg      Config
	deps     Deps
	budget   *pipeline.Budget
	sessions *sessions
	metrics  metrics

	closing <-chan struct{}
	life    context.Context // ends with closing
	end     context.CancelFunc
	unknown atomic.Int64 // second in which an error without a code was logged last
	mu      sync.Mutex   // guards closed, and polls against Add after Wait
	closed  bool
	polls   sync.WaitGroup
}

// New returns a server. Close it when no connection is left.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, deps: deps, budget: pipeline.NewBudget(cfg.BudgetBytes)}
	s.life, s.end = context.WithCancel(context.Background())
	s.closing = s.life.Done()
	s.sessions = newSessions(cfg, deps.Clock, func() { s.metrics.evicted.Inc() })
	s.metrics = newMetrics(s, deps.Registry)
	return s, nil
}

// Fetch serves req, on the account of who, on a goroutine of its own and calls reply once, with the
// encoded body of the answer, or with nil when there can be none: the server is
// closed or the connection has ended. release, if not nil, must be called when
// the body was written or dropped. req must stay valid until then.
func (s *Server) Fetch(ctx context.Context, who pipeline.Holder, req *kmsg.FetchRequest, reply func(body net.Buffers, release func())) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		reply(nil, nil)
		return
	}
	s.polls.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.polls.Done()
		var body net.Buffers
		var release func()
		defer func() {
			if p := recover(); p != nil {
				s.deps.Log.Error("a fetch panicked; its connection is closed", "panic", p, "stack", string(debug.Stack()))
			}
			reply(body, release)
		}()
		body, release = s.serve(ctx, who, req)
	}()
}

// Close answers all polls that wait, and returns when every one has replied.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.end()
	}
	s.mu.Unlock()
	s.polls.Wait()
	s.sessions.endAll()
}

// serve polls for one request and encodes the answer.
func (s *Server) serve(ctx context.Context, who pipeline.Holder, req *kmsg.FetchRequest) (net.Buffers, func()) {
	p, code := s.open(ctx, req)
	if code != 0 {
		return refusal(req.Version, code), nil
	}
	defer p.leave()
	p.who = who
	span := trace.SpanFromContext(ctx)
	var release func()
	for again := true; again; {
		p.wait(ctx)
		if ctx.Err() != nil {
			return nil, nil
		}
		span.AddEvent("due") // the long poll is over
		release, again = p.read(ctx)
	}
	if span.IsRecording() {
		p.describe(span)
	}
	return p.encode(), release
}

// metrics of the server. Session metrics are read when they are scraped.
type metrics struct {
	evicted, turnedAway prometheus.Counter
	scans               prometheus.Counter
	waiting             prometheus.Gauge
}

func newMetrics(s *Server, reg prometheus.Registerer) metrics {
	m := metrics{
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_sessions_evicted_total",
			Help: "Idle fetch sessions dropped to make room for new ones."}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_sessions_refused_total",
			Help: "Fetches that asked for a session when there was no room."}),
		scans: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_scans_total",
			Help: "Looks over all partitions of a fetch: one when it arrives and one each time something moved while it waits."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_fetch_waiting",
			Help: "Fetches that wait for records."}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(m.evicted, m.turnedAway, m.scans, m.waiting,
		gauge("sluice_fetch_sessions", "Fetch sessions remembered.", func() float64 { n, _ := s.sessions.size(); return float64(n) }),
		gauge("sluice_fetch_session_partitions", "Partitions of all fetch sessions.", func() float64 { _, n := s.sessions.size(); return float64(n) }),
		gauge("sluice_fetch_budget_used_bytes", "Record bytes of answers being read or written.", func() float64 { return float64(s.budget.InUse()) }),
		gauge("sluice_fetch_budget_waiting", "Fetches that have records to read and wait for room in the budget.", func() float64 { return float64(s.budget.Waiters()) }),
	)
	return m
}
