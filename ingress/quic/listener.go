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
	l         *quicgo.Listener
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
	d := &Listener{cfg: cfg, socket: socket, id: id, log: log,
		bounds: listener.NewBounds(cfg.Connections, cfg.ConnectionsPerIP, cfg.Memory), streams: listener.NewBounds(0, 0, cfg.Memory),
		metrics: listener.NewMetrics("quic", reg), windows: newWindows(cfg.Memory)}
	d.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_door_refused_streams_total",
		Help: "QUIC streams refused, since connections and streams have used up their memory."})
	reg.MustRegister(d.refused)
	d.buffers = cfg.Memory.Hold(socket.BufferBytes())
	measure(socket, reg)
	log.Debug("the QUIC socket is open", "receive_offload", socket.Coalesces())
	d.closing, d.close = context.WithCancel(context.Background())
	d.transport = &quicgo.Transport{Conn: socket, ConnContext: d.arrive, StatelessResetKey: resetKey(cfg.TLS),
		VerifySourceAddress: newRate(cfg.NewConnections).exceeded}
	q := cfg.QUIC.Server(cfg.Streams)
	q.AllowConnectionWindowIncrease = d.windows.grow
	q.GetConfigForClient = func(*quicgo.ClientInfo) (*quicgo.Config, error) { return d.windows.begin(q), nil }
	if d.l, err = d.transport.Listen(quicnet.TLS(cfg.TLS), q); err != nil {
		d.buffers()
		return nil, errors.Join(fmt.Errorf("QUIC listener %s: %w", cfg.Address, err), socket.Close())
	}
	return d, nil
}

// arrive counts a connection from its first packet to its end, or refuses it.
func (d *Listener) arrive(ctx context.Context, who *quicgo.ClientInfo) (context.Context, error) {
	if d.closing.Err() != nil {
		return nil, net.ErrClosed
	}
	leave, err := d.bounds.Enter(who.RemoteAddr, listener.QUICBytes+d.windows.first())
	if err != nil {
		d.metrics.Refused(err)
		d.log.Debug("connection refused", "remote", who.RemoteAddr, "err", err)
		return nil, err
	}
	d.metrics.Open.Inc()
	context.AfterFunc(ctx, func() {
		leave()
		d.metrics.Open.Dec()
	})
	return ctx, nil
}

// Addr returns the local address.
func (d *Listener) Addr() net.Addr { return d.socket.LocalAddr() }

// Close stops accepting clients and streams. Streams that were accepted continue until Serve
// has finished them and closed the socket. If Serve is not running, the socket is closed at
// once.
func (d *Listener) Close() error {
	d.close()
	var err error
	d.release.Do(func() { err = d.free() })
	return err
}

func (d *Listener) free() error {
	defer d.buffers()
	return errors.Join(d.l.Close(), d.transport.Close(), d.socket.Close())
}

// Serve calls handle for each stream until Close is called or ctx is done, then waits for all
// calls to return. handle owns its stream; its context is ctx. Call Serve once.
func (d *Listener) Serve(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error {
	serving := false
	d.release.Do(func() { serving = true })
	if !serving {
		return nil // closed before Serve
	}
	stop := context.AfterFunc(ctx, func() { _ = d.Close() })
	defer stop()
	err := d.accept(ctx, handle)
	d.conns.Wait()
	return errors.Join(err, d.free())
}

func (d *Listener) accept(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error {
	for {
		qc, err := d.l.Accept(d.closing)
		if err != nil {
			if d.closing.Err() != nil {
				return nil
			}
			return fmt.Errorf("QUIC listener %s: %w", d.Addr(), err)
		}
		d.metrics.Accepted.Inc()
		d.conns.Go(func() { d.serve(ctx, qc, handle) })
	}
}
