package fetch

import (
	"context"
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

// Reader is the entry of the read pipeline: reads are filled in when the
// parcel's receipt settles.
type Reader interface {
	Submit(context.Context, pipeline.Parcel[*flow.Fetch]) error
}

// Deps is what the server calls. All of it is required.
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
	budget   *pipeline.Budget // of records in answers
	waiting  *waiting
	watched  atomic.Int64 // partitions of all polls that are parked
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
	s := &Server{cfg: cfg, deps: deps, budget: pipeline.NewBudget(cfg.BudgetBytes).KeepForStrangers(), waiting: newWaiting(cfg.WaitingBytes)}
	s.life, s.end = context.WithCancel(context.Background())
	s.closing = s.life.Done()
	s.sessions = newSessions(cfg, deps.Clock, func() { s.metrics.evicted.Inc() })
	s.metrics = newMetrics(s, deps.Registry)
	s.waiting.early = s.metrics.hurried.Inc
	return s, nil
}

// Fetch serves req, on the account of who, and calls reply once, with the encoded body
// of the answer, or with nil when there can be none: the server is closed or the
// connection has ended. release, if not nil, must be called when the body was written or
// dropped. With charged, what the request takes is on the account of the server from now
// on; else req must stay charged to whoever calls until then.
//
// It returns before, but may wait a moment for room for a request that waits: see
// waiting.
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
	if p.place = s.waiting.enter(ctx, s.closing, who, bytes, p.hurry); p.place == nil {
		s.polls.Done()
		reply(nil, nil)
		return false
	}
	go p.run(func() (net.Buffers, func(), bool) { return p.start(req) })
	return charged
}

// Close answers all polls that wait, and returns when every one has replied.
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

// start begins with the request, and lets go of it.
func (p *poll) start(req *kmsg.FetchRequest) (net.Buffers, func(), bool) {
	if req.IsolationLevel < 0 || req.IsolationLevel > readCommitted {
		return refuseEach(req, kerr.UnknownServerError.Code), nil, true // as Kafka, which has no other code for it
	}
	if code := p.open(req); code != 0 {
		return refusal(p.asked.version, code), nil, true
	}
	return p.proceed()
}

// proceed looks until the poll is due, and answers it; if it is not, the poll is parked
// when it returns false.
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
		span.AddEvent("due") // the long poll is over
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

// finish gives back what the poll has, and replies.
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
	p.place.answered(answerBytes + max(0, sizeOf(body)-p.records())) // without a body, they are nobody's
	p.reply(body, func() {
		if release != nil {
			release()
		}
		p.place.leave()
	})
}

// metrics of the server. Session metrics are read when they are scraped.
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
			Help: "Fetches that asked for a session when there was no room."}),
		scans: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_scans_total",
			Help: "Looks over all partitions of a fetch: one when it arrives and one each time something moved while it waits."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_fetch_waiting",
			Help: "Fetches that wait for records."}),
		hurried: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_answered_early_total",
			Help: "Fetches answered with what there was, since the room for those that wait was needed for others."}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(m.evicted, m.turnedAway, m.scans, m.waiting, m.hurried,
		gauge("sluice_fetch_sessions", "Fetch sessions remembered.", func() float64 { n, _ := s.sessions.size(); return float64(n) }),
		gauge("sluice_fetch_session_partitions", "Partitions of all fetch sessions.", func() float64 { _, n := s.sessions.size(); return float64(n) }),
		gauge("sluice_fetch_waiting_bytes", "What fetches take of memory from their arrival until their answers are sent, but for the records.", func() float64 { return float64(s.waiting.memory()) }),
		gauge("sluice_fetch_budget_used_bytes", "Record bytes of answers being read or written.", func() float64 { return float64(s.budget.InUse()) }),
		gauge("sluice_fetch_budget_waiting", "Fetches that have records to read and wait for room in the budget.", func() float64 { return float64(s.budget.Waiters()) }),
	)
	return m
}
