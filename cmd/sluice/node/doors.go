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

	"github.com/sluicemq/sluice/ingress/door"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/quic"
	"github.com/sluicemq/sluice/ingress/tcp"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/certs"
)

// listener is the door of one transport.
type listener interface {
	// Serve calls handle for each connection until Close, and waits for all.
	Serve(ctx context.Context, handle func(context.Context, net.Conn, kafka.ConnInfo) error) error
	Addr() net.Addr
	Close() error
}

// doors are the listeners of a broker and what runs on them.
type doors struct {
	cfg       DoorsConfig
	memory    *door.Memory  // of connections
	tls       *certs.Server // its Reload takes up files at once; nil: no door has TLS
	quic, tcp listener      // nil: closed
	adminAt   net.Listener
	http      *http.Server

	stop     context.CancelFunc // ends connections
	endAdmin context.CancelFunc // ends requests to the admin server
	serving  sync.WaitGroup
}

// Addresses says where a broker listens; empty for a door that is closed.
type Addresses struct {
	QUIC, TCP, Admin string
	TLS              bool // of the TCP door
}

// openDoors binds all ports.
func openDoors(cfg DoorsConfig, admin string, log *slog.Logger, reg prometheus.Registerer) (*doors, error) {
	d := &doors{cfg: cfg, memory: door.NewMemory(cfg.MemoryBytes)}
	if err := d.open(admin, log, reg); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *doors) open(admin string, log *slog.Logger, reg prometheus.Registerer) (err error) {
	cfg := d.cfg
	var tlsConfig *tls.Config
	if cfg.QUICListen != "" || !cfg.PlaintextTCP {
		if d.tls, err = certs.NewServer(cfg.TLS, log); err != nil {
			return err
		}
		reg.MustRegister(tlsMetrics{d.tls})
		tlsConfig = d.tls.Config()
	}
	var ids atomic.Uint64 // of connections, over all doors
	nextID := func() uint64 { return ids.Add(1) }
	if cfg.TCPListen != "" {
		c := tcp.Config{Address: cfg.TCPListen, TLS: tlsConfig, Connections: acceptable(cfg.Connections, log), ConnectionsPerIP: cfg.ConnectionsPerIP, Memory: d.memory}
		if cfg.PlaintextTCP {
			c.TLS = nil
		}
		l, err := tcp.Listen(c, nextID, log, reg)
		if err != nil {
			return err
		}
		d.tcp = l
	}
	if cfg.QUICListen != "" {
		c := quic.Config{Address: cfg.QUICListen, TLS: tlsConfig, QUIC: cfg.QUIC, Connections: cfg.Connections,
			ConnectionsPerIP: cfg.ConnectionsPerIP, Streams: cfg.Streams, Memory: d.memory}
		l, err := quic.Listen(c, nextID, log, reg)
		if err != nil {
			return err
		}
		d.quic = l
	}
	if admin == "" {
		return nil
	}
	if d.adminAt, err = net.Listen("tcp", admin); err != nil {
		return fmt.Errorf("admin server: %w; stop what uses that address or set another", err)
	}
	return nil
}

// advertised is where clients are told to connect.
func (d *doors) advertised() (host string, port int32) {
	host, port = d.cfg.AdvertisedHost, d.cfg.AdvertisedPort
	for _, l := range []listener{d.quic, d.tcp} {
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

func (d *doors) addresses() (a Addresses) {
	if d.quic != nil {
		a.QUIC = d.quic.Addr().String()
	}
	if d.tcp != nil {
		a.TCP, a.TLS = d.tcp.Addr().String(), !d.cfg.PlaintextTCP
	}
	if d.adminAt != nil {
		a.Admin = d.adminAt.Addr().String()
	}
	return a
}

// admin serves a on the admin address. failed is called if that ends.
func (d *doors) admin(cfg adminhttp.Config, a http.Handler, log *slog.Logger, failed context.CancelCauseFunc) {
	if d.adminAt == nil {
		return
	}
	var ctx context.Context
	ctx, d.endAdmin = context.WithCancel(context.Background())
	d.http = adminhttp.New(cfg, a, log)
	d.http.BaseContext = func(net.Listener) context.Context { return ctx }
	d.serving.Go(func() {
		if err := serveHTTP(d.http, d.adminAt); err != nil {
			failed(err)
		}
	})
}

// serve lets clients in. failed is called if a door cannot accept any more.
func (d *doors) serve(handle func(context.Context, net.Conn, kafka.ConnInfo) error, failed context.CancelCauseFunc) {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	if d.tls != nil {
		d.serving.Go(func() { d.tls.Watch(ctx) })
	}
	for _, l := range []listener{d.quic, d.tcp} {
		if l == nil {
			continue
		}
		d.serving.Go(func() {
			if err := l.Serve(ctx, handle); err != nil {
				failed(err)
			}
		})
	}
}

// closeListeners lets nobody in any more; connections go on.
func (d *doors) closeListeners() {
	for _, l := range []listener{d.quic, d.tcp} {
		if l != nil {
			_ = l.Close() // it was listening; there is nothing to lose
		}
	}
}

// endConnections ends those that are left.
func (d *doors) endConnections() {
	if d.stop != nil {
		d.stop()
	}
}

// endAdminRequests ends the contexts of requests to the admin server. It goes on to serve.
func (d *doors) endAdminRequests() {
	if d.endAdmin != nil {
		d.endAdmin()
	}
}

// wait waits for everything that runs, for answers of the admin server until ctx ends.
func (d *doors) wait(ctx context.Context) {
	if d.http != nil && d.http.Shutdown(ctx) != nil {
		_ = d.http.Close() // whoever is not done reading is cut off
	}
	d.serving.Wait()
}

// close gives up the ports.
func (d *doors) close() error {
	d.closeListeners()
	if d.adminAt != nil {
		if err := d.adminAt.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}
