package tcp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/tcp"
	"github.com/sluicemq/sluice/internal/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a running listener.
type house struct {
	t     testing.TB
	l     *tcp.Listener
	reg   *prometheus.Registry
	leave context.CancelFunc // ends the context of Serve
	over  chan error         // the result of Serve
	infos chan kafka.ConnInfo
}

func open(t testing.TB, cfg tcp.Config, handle func(context.Context, net.Conn) error) *house {
	t.Helper()
	h := &house{t: t, reg: prometheus.NewRegistry(), over: make(chan error, 1), infos: make(chan kafka.ConnInfo, 100)}
	cfg.Address = "127.0.0.1:0"
	var ids atomic.Uint64
	var err error
	h.l, err = tcp.Listen(cfg, func() uint64 { return ids.Add(1) }, slog.New(slog.DiscardHandler), h.reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.leave = cancel
	go func() {
		h.over <- h.l.Serve(ctx, func(ctx context.Context, nc net.Conn, info kafka.ConnInfo) error {
			defer nc.Close()
			h.infos <- info
			return handle(ctx, nc)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-h.over; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

func echo(ctx context.Context, nc net.Conn) error {
	defer context.AfterFunc(ctx, func() { nc.SetReadDeadline(time.Unix(1, 0)) })()
	_, err := io.Copy(nc, nc)
	return err
}

// dial connects, without TLS if c is nil. Reads and writes have a deadline.
func (h *house) dial(c *tls.Config) (net.Conn, error) {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.l.Addr().String())
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	if c == nil {
		return nc, nil
	}
	return tls.Client(nc, c), nil
}

func (h *house) mustDial(c *tls.Config) net.Conn {
	h.t.Helper()
	nc, err := h.dial(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return nc
}

// say writes a message and checks that it is echoed.
func say(c net.Conn, message string) error {
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	b := make([]byte, len(message))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != message {
		return errors.New("the echo differs")
	}
	return nil
}

func ask(t testing.TB, c net.Conn, message string) {
	t.Helper()
	if err := say(c, message); err != nil {
		t.Fatalf("%q: %v", message, err)
	}
}

func (h *house) metric(name string) (total float64) {
	h.t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return total
}

func TestPlaintext(t *testing.T) {
	h := open(t, tcp.Config{}, echo)
	one := h.mustDial(nil)
	ask(t, one, "hello")
	two := h.mustDial(nil) // after one is being served: the order of infos is that of dialling
	ask(t, two, "hello as well")
	a, b := <-h.infos, <-h.infos
	if a.ID == b.ID || a.Transport != "tcp" || a.TLS != nil || a.Remote.String() != one.LocalAddr().String() || a.Local.String() != h.l.Addr().String() {
		t.Errorf("connections are described as %+v and %+v", a, b)
	}
	if n := h.metric("sluice_listener_connections"); n != 2 {
		t.Errorf("%v connections are counted", n)
	}
}

func TestTLSAndClientCertificates(t *testing.T) {
	dir := t.TempDir()
	files, err := certs.Ensure(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := certs.Issue(dir, "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	client := func(cert, key string) *tls.Config {
		c, err := certs.ClientConfig(files.CA, cert, key)
		if err != nil {
			t.Fatal(err)
		}
		c.ServerName = "localhost"
		return c
	}
	with, without := client(own.Cert, own.Key), client("", "")
	for auth, want := range map[certs.ClientAuth][2]bool{ // with and without a certificate
		certs.ClientAuthNone: {true, true}, certs.ClientAuthOptional: {true, true}, certs.ClientAuthRequired: {true, false},
	} {
		t.Run(string(auth), func(t *testing.T) {
			server, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key, ClientCAFile: files.CA, ClientAuth: auth})
			if err != nil {
				t.Fatal(err)
			}
			h := open(t, tcp.Config{TLS: server}, echo)
			for i, c := range []*tls.Config{with, without} {
				if err := say(h.mustDial(c), "hello"); (err == nil) != want[i] {
					t.Errorf("client %d: %v", i, err)
				}
			}
			info := <-h.infos
			if info.Transport != "tls" || info.TLS == nil || (auth != certs.ClientAuthNone) != (len(info.TLS.PeerCertificates) == 1) {
				t.Errorf("the connection is described as %+v", info)
			}
			if err := say(h.mustDial(nil), "\x00\x00\x00\x10plaintext"); err == nil {
				t.Error("plaintext was let in")
			}
		})
	}
}

func TestAHandshakeThatTakesTooLongIsCut(t *testing.T) {
	dir := t.TempDir()
	files, err := certs.Ensure(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, tcp.Config{TLS: server, HandshakeTimeout: 100 * time.Millisecond}, echo)
	nc := h.mustDial(nil) // sends nothing
	if _, err := io.ReadAll(nc); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
	h.leave()
	h.over <- <-h.over // Serve has finished
	if n := h.metric("sluice_listener_refused_total"); n != 1 {
		t.Errorf("%v refusals are counted", n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	for name, cfg := range map[string]tcp.Config{"in all": {Connections: 1}, "of one address": {ConnectionsPerIP: 1}} {
		t.Run(name, func(t *testing.T) {
			h := open(t, cfg, echo)
			first := h.mustDial(nil)
			ask(t, first, "hello")
			if err := say(h.mustDial(nil), "one too many"); err == nil {
				t.Fatal("a second connection was let in")
			}
			if n := h.metric("sluice_listener_refused_total"); n != 1 {
				t.Errorf("%v refusals are counted", n)
			}
			first.Close()
			for until := time.Now().Add(10 * time.Second); say(h.mustDial(nil), "now") != nil; { // the server notices soon
				if time.Now().After(until) {
					t.Fatal("the slot was not released")
				}
			}
		})
	}
}

func TestStop(t *testing.T) {
	h := open(t, tcp.Config{}, func(ctx context.Context, nc net.Conn) error {
		if err := echo(ctx, nc); !errors.Is(err, context.Canceled) && ctx.Err() == nil {
			return err
		}
		_, err := io.WriteString(nc, "goodbye")
		return err
	})
	nc := h.mustDial(nil)
	ask(t, nc, "hello")
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := func() error { c, err := h.dial(nil); _ = c; return err }(); err == nil {
		t.Error("a closed listener accepted a client")
	}
	ask(t, nc, "connected clients stay")
	h.leave()
	if b, err := io.ReadAll(nc); err != nil || string(b) != "goodbye" {
		t.Errorf("the last read returned %q, %v", b, err)
	}
}

func TestPortInUse(t *testing.T) {
	h := open(t, tcp.Config{}, echo)
	_, err := tcp.Listen(tcp.Config{Address: h.l.Addr().String()}, func() uint64 { return 0 }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "is in use; stop what listens there or set another address") {
		t.Errorf("a second listener: %v", err)
	}
}

func TestConfigsThatCannotWork(t *testing.T) {
	for _, c := range []tcp.Config{{}, {Address: "a:1", Connections: -1}, {Address: "a:1", ConnectionsPerIP: -1}, {Address: "a:1", HandshakeTimeout: -1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	if _, err := tcp.Listen(tcp.Config{Address: "nonsense"}, nil, nil, nil); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("an address without a port: %v", err)
	}
}
