package fetch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/pipeline"
)

// Reader is the entry of the read pipeline: the reads are filled in when the parcel's receipt
// settles.
type Reader interface {
	Submit(context.Context, pipeline.Parcel[*flow.Fetch]) error
}

// Deps holds the server's dependencies. All are required.
type Deps struct {
	Lookup   *lookup.Lookup
	Reader   Reader
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Server serves Fetch requests. All methods are safe for concurrent use.
type Server struct {
	cfg      Config
	deps     Deps
	budget   *pipeline.Budget // of records in responses
	waiting  *waiting
	watched  atomic.Int64 // partitions of all parked polls
	sessions *sessions
	metrics  metrics

	closing <-chan struct{}
	life    context.Context // done when closing
	end     context.CancelFunc
	unknown atomic.Int64 // second in which an error without a code was last logged
	mu      sync.Mutex   // guards closed, and Add on polls against Wait
	closed  bool
	polls   sync.WaitGroup
}

// New returns a server. Call Close after the last connection has ended.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := errors.Join(cfg.Validate(), cfg.validateBudgets()); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, deps: deps, budget: pipeline.NewBudget(cfg.BudgetBytes).ReserveForNewcomers(), waiting: newWaiting(cfg.WaitingBytes)}
	s.life, s.end = context.WithCancel(context.Background())
	s.closing = s.life.Done()
	s.sessions = newSessions(cfg, deps.Clock, func() { s.metrics.evicted.Inc() })
	s.metrics = newMetrics(s, deps.Registry)
	s.waiting.early = s.metrics.hurried.Inc
	return s, nil
}

// Fetch serves req, charging who. It calls reply once, with the encoded body of the response,
// or with nil if there can be none because the server is closed or the connection has ended.
// release, if not nil, must be called once the body was written or dropped. If charged is true,
// the request's memory is charged to the server from now on; otherwise the caller must keep it
// charged until the reply.
//
// Fetch returns before the reply, but may block briefly for memory: see waiting.
func (s *Server) Fetch(ctx context.Context, who pipeline.Holder, req *kmsg.FetchRequest, reply func(body net.Buffers, release func())) (charged bool) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		reply(nil, nil)
		return false
	}
	s.polls.Add(1)
	s.mu.Unlock()
	p := &poll{Server: s, ctx: ctx, who: who, reply: reply, limit: max(1, min(s.cfg.MaxBytes, int(req.MaxBytes))),
		asked: asked{version: req.Version, isolation: req.IsolationLevel, minBytes: int(req.MinBytes), maxBytes: req.MaxBytes,
			wait: min(time.Duration(req.MaxWaitMillis)*time.Millisecond, s.cfg.MaxWait)}}
	bytes := requestBytes(req)
	if charged = bytes <= s.waiting.largest(); !charged {
		bytes, p.asked.wait = pollBytes, 0 // so large a request does not wait
	}
	p.until = time.Now().Add(p.asked.wait)
	if p.reservation = s.waiting.enter(ctx, s.closing, who, bytes, p.hurry); p.reservation == nil {
		s.polls.Done()
		reply(nil, nil)
		return false
	}
	go p.run(func() (net.Buffers, func(), bool) { return p.start(req) })
	return charged
}

// Close answers all waiting polls, and returns when every one has replied.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.end()
	}
	s.mu.Unlock()
	s.waiting.hurryAll()
	s.polls.Wait()
	s.sessions.endAll()
}

// start processes the request, which is not needed afterwards.
func (p *poll) start(req *kmsg.FetchRequest) (net.Buffers, func(), bool) {
	if req.IsolationLevel < 0 || req.IsolationLevel > readCommitted {
		return refuseEach(req, kerr.UnknownServerError.Code), nil, true // like Kafka, which has no better code for it
	}
	if code := p.open(req); code != 0 {
		return refusal(p.asked.version, code), nil, true
	}
	return p.proceed()
}

// proceed scans until the poll is due, and answers it; if it returns false, the poll is parked.
func (p *poll) proceed() (body net.Buffers, release func(), over bool) {
	span := trace.SpanFromContext(p.ctx)
	for {
		if !p.ready() && !p.over() {
			if p.park() {
				return nil, nil, false
			}
			continue
		}
		if p.ctx.Err() != nil {
			return nil, nil, true
		}
		span.AddEvent("due") // the long poll has ended
		release, again := p.read()
		if again {
			continue
		}
		if span.IsRecording() {
			p.describe(span)
		}
		return p.encode(), release, true
	}
}

// finish releases what the poll holds, and replies.
func (p *poll) finish(body net.Buffers, release func()) {
	defer p.polls.Done()
	if p.timer != nil {
		p.timer.Stop()
		p.stop()
	}
	if p.session != nil {
		p.session.watcher.poll.Store(nil)
		p.sessions.leave(p.session)
	} else {
		for _, s := range p.slots {
			s.disarm()
		}
	}
	p.reservation.answered(answerBytes + max(0, sizeOf(body)-p.records())) // without a body they belong to nobody
	p.reply(body, func() {
		if release != nil {
			release()
		}
		p.reservation.leave()
	})
}

// metrics of the server. Session metrics are computed on scrape.
type metrics struct {
	evicted, turnedAway prometheus.Counter
	scans               prometheus.Counter
	waiting             prometheus.Gauge
	hurried             prometheus.Counter
}

func newMetrics(s *Server, reg prometheus.Registerer) metrics {
	m := metrics{
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_sessions_evicted_total",
			Help: "Idle fetch sessions dropped to make room for new ones."}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_sessions_refused_total",
			Help: "Requests for a fetch session refused because the limits were reached."}),
		scans: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_scans_total",
			Help: "Scans over all partitions of a fetch: one on arrival and one for each wake-up while it waits."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_fetch_waiting",
			Help: "Fetches waiting for records."}),
		hurried: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_answered_early_total",
			Help: "Waiting fetches answered early because their memory was needed for others."}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(m.evicted, m.turnedAway, m.scans, m.waiting, m.hurried,
		gauge("sluice_fetch_sessions", "Open fetch sessions.", func() float64 { n, _ := s.sessions.size(); return float64(n) }),
		gauge("sluice_fetch_session_partitions", "Partitions in all fetch sessions.", func() float64 { _, n := s.sessions.size(); return float64(n) }),
		gauge("sluice_fetch_waiting_bytes", "Memory of fetches from arrival until their responses are sent, without records.", func() float64 { return float64(s.waiting.memory()) }),
		gauge("sluice_fetch_budget_used_bytes", "Record bytes of responses being read or written.", func() float64 { return float64(s.budget.InUse()) }),
		gauge("sluice_fetch_budget_waiting", "Fetches with records to read that wait for the budget.", func() float64 { return float64(s.budget.Waiters()) }),
	)
	return m
}
