package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/ingress/quic"
	"github.com/sluicemq/sluice/ingress/tcp"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/certs"
)

// acceptor is the listener of one transport.
type acceptor interface {
	// Serve calls handle for each connection until Close, and waits for all.
	Serve(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error
	Addr() net.Addr
	Close() error
}

// listeners are the listeners of a broker and the goroutines that serve them.
type listeners struct {
	cfg       ListenersConfig
	memory    *listener.Memory // of connections
	tls       *certs.Server    // reloads the files at once; nil: no listener uses TLS
	quic, tcp acceptor         // nil: off
	adminAt   net.Listener
	http      *http.Server

	stop     context.CancelFunc // ends connections
	endAdmin context.CancelFunc // ends requests to the admin server
	serving  sync.WaitGroup
}

// Addresses are the addresses a broker listens on; empty if that listener is off.
type Addresses struct {
	QUIC, TCP, Admin string
	TLS              bool // of the TCP listener
}

// openListeners binds all ports.
func openListeners(cfg ListenersConfig, admin string, log *slog.Logger, reg prometheus.Registerer) (*listeners, error) {
	ls := &listeners{cfg: cfg, memory: listener.NewMemory(cfg.MemoryBytes)}
	if err := ls.open(admin, log, reg); err != nil {
		return nil, errors.Join(err, ls.close())
	}
	return ls, nil
}

func (ls *listeners) open(admin string, log *slog.Logger, reg prometheus.Registerer) (err error) {
	cfg := ls.cfg
	var tlsConfig *tls.Config
	if cfg.QUICListen != "" || !cfg.PlaintextTCP() {
		if ls.tls, err = certs.NewServer(cfg.TLS, log); err != nil {
			return err
		}
		reg.MustRegister(tlsMetrics{ls.tls})
		tlsConfig = ls.tls.Config()
	}
	var ids atomic.Uint64 // of connections, across all listeners
	nextID := func() uint64 { return ids.Add(1) }
	if cfg.TCPListen != "" {
		c := tcp.Config{Address: cfg.TCPListen, TLS: tlsConfig, Connections: acceptable(cfg.MaxConnections, log), ConnectionsPerIP: cfg.MaxConnectionsPerIP, Memory: ls.memory}
		if cfg.PlaintextTCP() {
			c.TLS = nil
		}
		l, err := tcp.Listen(c, nextID, log, reg)
		if err != nil {
			return err
		}
		ls.tcp = l
	}
	if cfg.QUICListen != "" {
		c := quic.Config{Address: cfg.QUICListen, TLS: tlsConfig, QUIC: cfg.QUIC, Connections: cfg.MaxConnections,
			ConnectionsPerIP: cfg.MaxConnectionsPerIP, Streams: cfg.MaxStreams, Memory: ls.memory}
		l, err := quic.Listen(c, nextID, log, reg)
		if err != nil {
			return err
		}
		ls.quic = l
	}
	if admin == "" {
		return nil
	}
	if ls.adminAt, err = net.Listen("tcp", admin); err != nil {
		return fmt.Errorf("admin server: %w; stop what uses that address or set another", err)
	}
	return nil
}

// advertised returns the address that clients connect to.
func (ls *listeners) advertised() (host string, port int32) {
	host, port = ls.cfg.AdvertisedHost, ls.cfg.AdvertisedPort
	for _, l := range []acceptor{ls.quic, ls.tcp} {
		if l == nil || host != "" && port != 0 {
			continue
		}
		h, p, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			continue
		}
		if ip := net.ParseIP(h); host == "" && ip != nil && !ip.IsUnspecified() {
			host = h
		}
		if n, err := strconv.ParseInt(p, 10, 32); port == 0 && err == nil {
			port = int32(n)
		}
	}
	if host == "" {
		host = "localhost"
	}
	return host, port
}

func (ls *listeners) addresses() (a Addresses) {
	if ls.quic != nil {
		a.QUIC = ls.quic.Addr().String()
	}
	if ls.tcp != nil {
		a.TCP, a.TLS = ls.tcp.Addr().String(), !ls.cfg.PlaintextTCP()
	}
	if ls.adminAt != nil {
		a.Admin = ls.adminAt.Addr().String()
	}
	return a
}

// admin serves a on the admin address. failed is called if that ends.
func (ls *listeners) admin(cfg adminhttp.Config, a http.Handler, log *slog.Logger, failed context.CancelCauseFunc) {
	if ls.adminAt == nil {
		return
	}
	var ctx context.Context
	ctx, ls.endAdmin = context.WithCancel(context.Background())
	ls.http = adminhttp.New(cfg, a, log)
	ls.http.BaseContext = func(net.Listener) context.Context { return ctx }
	ls.serving.Go(func() {
		if err := serveHTTP(ls.http, ls.adminAt); err != nil {
			failed(err)
		}
	})
}

// serve accepts clients. failed is called if a listener can no longer accept.
func (ls *listeners) serve(handle func(context.Context, net.Conn, kafka.ConnInfo) error, failed context.CancelCauseFunc) {
	ctx, stop := context.WithCancel(context.Background())
	ls.stop = stop
	if ls.tls != nil {
		ls.serving.Go(func() { ls.tls.Watch(ctx) })
	}
	for _, l := range []acceptor{ls.quic, ls.tcp} {
		if l == nil {
			continue
		}
		ls.serving.Go(func() {
			if err := l.Serve(ctx, handle); err != nil {
				failed(err)
			}
		})
	}
}

// closeListeners stops accepting clients; connections continue.
func (ls *listeners) closeListeners() {
	for _, l := range []acceptor{ls.quic, ls.tcp} {
		if l != nil {
			_ = l.Close() // closing a listener loses nothing
		}
	}
}

// endConnections ends the remaining connections.
func (ls *listeners) endConnections() {
	if ls.stop != nil {
		ls.stop()
	}
}

// endAdminRequests cancels the contexts of admin requests. The admin server keeps serving.
func (ls *listeners) endAdminRequests() {
	if ls.endAdmin != nil {
		ls.endAdmin()
	}
}

// wait waits for all goroutines, and until ctx ends for responses of the admin server.
func (ls *listeners) wait(ctx context.Context) {
	if ls.http != nil && ls.http.Shutdown(ctx) != nil {
		_ = ls.http.Close() // clients still reading are disconnected
	}
	ls.serving.Wait()
}

// close releases the ports.
func (ls *listeners) close() error {
	ls.closeListeners()
	if ls.adminAt != nil {
		if err := ls.adminAt.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}
