package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
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
	// WriteTimeout closes a connection whose client does not take an answer.
	WriteTimeout time.Duration
}

// DefaultServerConfig returns Kafka's defaults where it has them.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{MaxFrameBytes: 100 << 20, MaxControlBytes: 8 << 20, Outstanding: 256,
		IdleTimeout: 10 * time.Minute, WriteTimeout: 30 * time.Second}
}

// Validate reports a setting that cannot work.
func (c ServerConfig) Validate() error {
	switch {
	case c.MaxFrameBytes < 1<<10 || c.MaxControlBytes < 1<<10:
		return errors.New("kafka: frames must be allowed at least 1 KiB")
	case c.Outstanding < 1:
		return errors.New("kafka: at least one request must be allowed at once")
	case c.IdleTimeout <= 0 || c.WriteTimeout <= 0:
		return errors.New("kafka: idle and write timeout must be positive")
	}
	return nil
}

// FrameMemory is what the largest request takes of the memory budget.
func (c ServerConfig) FrameMemory() int64 { return frameMemory(c.MaxFrameBytes) }

// Server serves connections. All methods are safe for concurrent use.
type Server struct {
	cfg       ServerConfig
	apis      map[int16]*served
	announced []kmsg.ApiVersionsResponseApiKey
	admission Admission
	log       *slog.Logger
	metrics   *metrics
	frames    frames

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
	wg       sync.WaitGroup
}

// served is an API with what is measured of it.
type served struct {
	API
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// NewServer returns a server of apis and of ApiVersions, which it answers
// itself from the table.
func NewServer(cfg ServerConfig, apis []API, a Admission, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, apis: make(map[int16]*served), admission: a, log: log, metrics: newMetrics(reg), conns: make(map[*conn]struct{})}
	apis = append([]API{{Key: kmsg.ApiVersions.Int16(), Max: apiVersionsMax, Handler: HandlerFunc(s.apiVersions)}}, apis...)
	for _, a := range apis {
		if _, ok := schemas[a.Key]; !ok {
			return nil, fmt.Errorf("kafka: API key %d has no schema to walk", a.Key)
		}
		name := kmsg.NameForKey(a.Key)
		s.apis[a.Key] = &served{a, s.metrics.requests.WithLabelValues(name), s.metrics.seconds.WithLabelValues(name)}
		s.announced = append(s.announced, kmsg.ApiVersionsResponseApiKey{ApiKey: a.Key, MinVersion: a.Min, MaxVersion: a.Max})
	}
	return s, nil
}

// ErrClosed: the server takes no more connections.
var ErrClosed = errors.New("server is shutting down")

// ServeConn serves nc until its client or the server ends it, and closes it.
// It returns why it ended, nil when the client simply left.
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

// Shutdown stops reading requests, lets those under way be answered, and closes
// the connections. When ctx is done it closes them at once and does not wait:
// ServeConn returns when what the requests wait for has ended. Long polls are
// ended by their own server.
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
		c.nc.Close()
	}
	s.mu.Unlock()
	return fmt.Errorf("%d connections were closed before all their requests were answered: %w", n, context.Cause(ctx))
}
