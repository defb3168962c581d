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

// ServerConfig has the limits of connections.
type ServerConfig struct {
	// MaxFrameBytes bounds a produce request; MaxControlBytes any other.
	MaxFrameBytes, MaxControlBytes int
	// Outstanding is how many requests of one connection may wait for their
	// answers. Then it is not read any more.
	Outstanding int
	// IdleTimeout closes a connection that sends nothing and waits for nothing.
	IdleTimeout time.Duration
	// StallGrace and MinBytesPerSecond are the least rate at which a request that has
	// begun must come in, and an answer be taken: so many bytes for each second beyond
	// the grace. TransferTimeout bounds the time of each, whatever its rate, and that
	// to the end of a connection's first request. Slower connections are closed.
	StallGrace, TransferTimeout time.Duration
	MinBytesPerSecond           int
}

// DefaultServerConfig returns Kafka's defaults where it has them.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{MaxFrameBytes: 64 << 20, MaxControlBytes: 8 << 20, Outstanding: 256,
		IdleTimeout: 10 * time.Minute, StallGrace: 10 * time.Second, MinBytesPerSecond: 16 << 10, TransferTimeout: 2 * time.Minute}
}

// Validate reports a setting that cannot work.
func (c ServerConfig) Validate() error {
	switch {
	case c.MaxFrameBytes < 1<<10 || c.MaxControlBytes < 1<<10:
		return errors.New("kafka: frames must be allowed at least 1 KiB")
	case c.Outstanding < 1:
		return errors.New("kafka: at least one request must be allowed at once")
	case c.IdleTimeout <= 0 || c.StallGrace <= 0 || c.MinBytesPerSecond <= 0:
		return errors.New("kafka: idle timeout, stall grace and least rate must be positive")
	case c.TransferTimeout < c.StallGrace:
		return errors.New("kafka: the transfer timeout must not be below the stall grace")
	}
	return nil
}

// FrameMemory returns how much of the memory budget the largest produce request, and the
// largest other request, can take.
func (c ServerConfig) FrameMemory() (produce, other int64) {
	return frameMemory(c.MaxFrameBytes), frameMemory(c.MaxControlBytes)
}

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
	places    *pipeline.Places // for large requests
	slowSaid  atomic.Int64     // when a slow connection was last logged, Unix seconds

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
		places: pipeline.NewPlaces(max(1, runtime.GOMAXPROCS(0)/2), heavyWork)}
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
