package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/listener"
)

// Config says where to listen and whom to let in.
type Config struct {
	Address string // host:port
	// TLS is what to use on the connection; nil means plaintext.
	TLS *tls.Config
	// Connections and ConnectionsPerIP bound the connections, in all and of one
	// client address. 0 means no bound.
	Connections, ConnectionsPerIP int
	// Memory is charged with each connection; nil means without a limit.
	Memory *listener.Memory
	// HandshakeTimeout bounds the TLS handshake; 0 means 10 seconds.
	HandshakeTimeout time.Duration
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Address == "":
		return errors.New("tcp: no address to listen on")
	case c.Connections < 0 || c.ConnectionsPerIP < 0:
		return errors.New("tcp: bounds on connections must not be negative")
	case c.HandshakeTimeout < 0:
		return errors.New("tcp: the handshake timeout must not be negative")
	}
	return nil
}

// Listener is an open TCP listener. All methods are safe for concurrent use.
type Listener struct {
	cfg     Config
	ln      net.Listener
	id      func() uint64
	log     *slog.Logger
	bounds  *listener.Bounds
	metrics *listener.Metrics

	closing context.Context // done once no more clients are accepted
	close   context.CancelFunc
	conns   sync.WaitGroup
}

// Listen binds the address. Each connection gets its number from id.
func Listen(cfg Config, id func() uint64, log *slog.Logger, reg prometheus.Registerer) (*Listener, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	ln, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, listener.ListenError("TCP", cfg.Address, err)
	}
	l := &Listener{cfg: cfg, ln: ln, id: id, log: log, bounds: listener.NewBounds(cfg.Connections, cfg.ConnectionsPerIP, cfg.Memory),
		metrics: listener.NewMetrics("tcp", reg)}
	l.closing, l.close = context.WithCancel(context.Background())
	return l, nil
}

// Addr returns the local address.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Close stops accepting clients. Accepted connections continue.
func (l *Listener) Close() error {
	l.close()
	return l.ln.Close()
}

// Serve calls handle for each connection until Close is called or ctx is done, then waits for
// all calls to return. handle owns its connection; its context is ctx. Call Serve once.
func (l *Listener) Serve(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.conns.Wait()
	var pause listener.Pause
	for {
		nc, err := l.ln.Accept()
		switch {
		case err == nil:
			pause.Reset()
			l.enter(ctx, nc, handle)
		case l.closing.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("TCP listener %s: %w", l.Addr(), err)
		default:
			l.log.Warn("cannot accept a connection; retrying", "address", l.Addr(), "err", err)
			pause.Wait(l.closing)
		}
	}
}

// enter starts serving a connection if the limits allow it.
func (l *Listener) enter(ctx context.Context, nc net.Conn, handle func(context.Context, net.Conn, kafka.ConnInfo) error) {
	bytes := int64(listener.TCPBytes)
	if l.cfg.TLS != nil {
		bytes = listener.TLSBytes
	}
	leave, err := l.bounds.Enter(nc.RemoteAddr(), bytes)
	if err != nil {
		l.metrics.Refused(err)
		l.log.Debug("connection refused", "remote", nc.RemoteAddr(), "err", err)
		nc.Close()
		return
	}
	l.metrics.Open.Inc()
	l.conns.Go(func() {
		defer l.metrics.Open.Dec()
		defer leave()
		l.serve(ctx, nc, handle)
	})
}

// serve completes the handshake and hands the connection over.
func (l *Listener) serve(ctx context.Context, nc net.Conn, handle func(context.Context, net.Conn, kafka.ConnInfo) error) {
	info := kafka.ConnInfo{ID: l.id(), Transport: "tcp", Remote: nc.RemoteAddr(), Local: nc.LocalAddr()}
	if l.cfg.TLS != nil {
		secure := tls.Server(nc, l.cfg.TLS)
		if err := l.handshake(secure); err != nil {
			l.metrics.Refused(err)
			l.log.Debug("TLS handshake failed", "remote", info.Remote, "err", err)
			nc.Close()
			return
		}
		state := secure.ConnectionState()
		nc, info.Transport, info.TLS = secure, "tls", &state
	}
	l.metrics.Accepted.Inc()
	_ = handle(ctx, nc, info) // the handler has logged why it ended
}

func (l *Listener) handshake(c *tls.Conn) error {
	ctx, cancel := context.WithTimeout(l.closing, l.cfg.HandshakeTimeout)
	defer cancel()
	return c.HandshakeContext(ctx)
}
