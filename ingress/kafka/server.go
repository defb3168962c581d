package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

// Server serves connections. All methods are safe for concurrent use.
type Server struct {
	cfg       ServerConfig
	identity  Identity
	apis      map[int16]*served
	announced []kmsg.ApiVersionsResponseApiKey
	admission Admission
	log       *slog.Logger
	metrics   *metrics
	frames    frames
	places    *pipeline.FairLimiter // for large requests
	slowSaid  atomic.Int64          // when a slow connection was last logged, Unix seconds

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
	wg       sync.WaitGroup
}

// served is an API with its metrics.
type served struct {
	API
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// NewServer returns a server for apis and for ApiVersions, which it answers itself from the
// table and its identity.
func NewServer(cfg ServerConfig, who Identity, apis []API, a Admission, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, identity: who, apis: make(map[int16]*served), admission: a, log: log, metrics: newMetrics(reg), conns: make(map[*conn]struct{}),
		places: pipeline.NewFairLimiter(max(1, runtime.GOMAXPROCS(0)/2), heavyWork)}
	apis = append([]API{{Key: kmsg.ApiVersions.Int16(), Max: apiVersionsMax, Handler: HandlerFunc(s.apiVersions)}}, apis...)
	for _, a := range apis {
		if _, ok := schemas[a.Key]; !ok {
			return nil, fmt.Errorf("kafka: API key %d has no schema to walk", a.Key)
		}
		name := kmsg.NameForKey(a.Key)
		s.apis[a.Key] = &served{a, s.metrics.requests.WithLabelValues(name), s.metrics.seconds.WithLabelValues(name)}
		s.announced = append(s.announced, announce(a))
	}
	return s, nil
}

// ErrClosed means that the server accepts no more connections.
var ErrClosed = errors.New("server is shutting down")

// ServeConn serves nc until the client or the server ends it, and closes it. It returns the
// reason, nil if the client simply disconnected.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn, info ConnInfo) error {
	c := newConn(s, nc, info)
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		nc.Close()
		return ErrClosed
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	gauge := s.metrics.connections.WithLabelValues(info.Transport)
	gauge.Inc()
	defer func() {
		gauge.Dec()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.wg.Done()
	}()
	err := c.serve(ctx)
	if err != nil {
		s.log.Debug("connection ended", "connection", info.ID, "transport", info.Transport, "remote", info.Remote, "err", err)
	}
	return err
}

// slow counts a connection closed for being slow, and logs at most one a second.
func (s *Server) slow(what string, c *conn) {
	s.metrics.slow.WithLabelValues(what).Inc()
	if now := time.Now().Unix(); s.slowSaid.Swap(now) != now {
		s.log.Warn("closing a connection: its client is too slow", "what", what, "connection", c.info.ID, "remote", c.info.Remote)
	}
}

// Shutdown stops reading requests, waits for those in progress, and closes the connections.
// When ctx is done it closes the rest at once, including those whose clients read no responses,
// and does not wait: ServeConn returns when its requests have finished. Long polls are ended by
// the fetch server.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()
	over := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	n := len(s.conns)
	for c := range s.conns {
		s.wg.Go(func() { c.nc.Close() }) // a TLS close sends an alert and may block
	}
	s.mu.Unlock()
	return fmt.Errorf("%d connections were closed before all their requests were answered: %w", n, context.Cause(ctx))
}
