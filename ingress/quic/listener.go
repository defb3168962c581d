package quic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	quicgo "github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// Listener is an open QUIC listener. All methods are safe for concurrent use.
type Listener struct {
	cfg       Config
	socket    *quicnet.Socket
	transport *quicgo.Transport
	ln        *quicgo.Listener
	id        func() uint64
	log       *slog.Logger
	bounds    *listener.Bounds // on connections
	streams   *listener.Bounds
	refused   prometheus.Counter // streams
	metrics   *listener.Metrics
	windows   *windows
	buffers   func() // releases the charge for the socket's buffers

	closing context.Context // done once no more clients are accepted
	close   context.CancelFunc
	conns   sync.WaitGroup
	release sync.Once
}

// Listen binds the address. Each stream gets its number from id.
func Listen(cfg Config, id func() uint64, log *slog.Logger, reg prometheus.Registerer) (*Listener, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	socket, err := cfg.QUIC.Listen(cfg.Address)
	if err != nil {
		return nil, listener.ListenError("QUIC", cfg.Address, err)
	}
	l := &Listener{cfg: cfg, socket: socket, id: id, log: log,
		bounds: listener.NewBounds(cfg.Connections, cfg.ConnectionsPerIP, cfg.Memory), streams: listener.NewBounds(0, 0, cfg.Memory),
		metrics: listener.NewMetrics("quic", reg), windows: newWindows(cfg.Memory)}
	l.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_listener_refused_streams_total",
		Help: "QUIC streams refused, since connections and streams have used up their memory."})
	reg.MustRegister(l.refused)
	l.buffers = cfg.Memory.Hold(socket.BufferBytes())
	measure(socket, reg)
	log.Debug("the QUIC socket is open", "receive_offload", socket.Coalesces())
	l.closing, l.close = context.WithCancel(context.Background())
	l.transport = &quicgo.Transport{Conn: socket, ConnContext: l.arrive, StatelessResetKey: resetKey(cfg.TLS),
		VerifySourceAddress: newRate(cfg.NewConnections).exceeded}
	q := cfg.QUIC.Server(cfg.Streams)
	q.AllowConnectionWindowIncrease = l.windows.grow
	q.GetConfigForClient = func(*quicgo.ClientInfo) (*quicgo.Config, error) { return l.windows.begin(q), nil }
	if l.ln, err = l.transport.Listen(quicnet.TLS(cfg.TLS), q); err != nil {
		l.buffers()
		return nil, errors.Join(fmt.Errorf("QUIC listener %s: %w", cfg.Address, err), socket.Close())
	}
	return l, nil
}

// arrive counts a connection from its first packet to its end, or refuses it.
func (l *Listener) arrive(ctx context.Context, who *quicgo.ClientInfo) (context.Context, error) {
	if l.closing.Err() != nil {
		return nil, net.ErrClosed
	}
	leave, err := l.bounds.Enter(who.RemoteAddr, listener.QUICBytes+l.windows.first())
	if err != nil {
		l.metrics.Refused(err)
		l.log.Debug("connection refused", "remote", who.RemoteAddr, "err", err)
		return nil, err
	}
	l.metrics.Open.Inc()
	context.AfterFunc(ctx, func() {
		leave()
		l.metrics.Open.Dec()
	})
	return ctx, nil
}

// Addr returns the local address.
func (l *Listener) Addr() net.Addr { return l.socket.LocalAddr() }

// Close stops accepting clients and streams. Streams that were accepted continue until Serve
// has finished them and closed the socket. If Serve is not running, the socket is closed at
// once.
func (l *Listener) Close() error {
	l.close()
	var err error
	l.release.Do(func() { err = l.free() })
	return err
}

func (l *Listener) free() error {
	defer l.buffers()
	return errors.Join(l.ln.Close(), l.transport.Close(), l.socket.Close())
}

// Serve calls handle for each stream until Close is called or ctx is done, then waits for all
// calls to return. handle owns its stream; its context is ctx. Call Serve once.
func (l *Listener) Serve(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error {
	serving := false
	l.release.Do(func() { serving = true })
	if !serving {
		return nil // closed before Serve
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err := l.accept(ctx, handle)
	l.conns.Wait()
	return errors.Join(err, l.free())
}

func (l *Listener) accept(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error {
	for {
		qc, err := l.ln.Accept(l.closing)
		if err != nil {
			if l.closing.Err() != nil {
				return nil
			}
			return fmt.Errorf("QUIC listener %s: %w", l.Addr(), err)
		}
		l.metrics.Accepted.Inc()
		l.conns.Go(func() { l.serve(ctx, qc, handle) })
	}
}
