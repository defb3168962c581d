package quic_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	quicgo "github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/quic"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a running listener with the certificates that clients need.
type house struct {
	t     testing.TB
	dir   string // certificates
	cfg   quic.Config
	l     *quic.Listener
	reg   *prometheus.Registry
	leave context.CancelFunc // ends the context of Serve
	over  chan error         // the result of Serve
	infos chan kafka.ConnInfo
	ids   atomic.Uint64
}

// open starts a listener whose streams are served by handle; it is closed with the test.
func open(t testing.TB, auth certs.ClientAuth, change func(*quic.Config), handle func(context.Context, net.Conn) error) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), infos: make(chan kafka.ConnInfo, 100)}
	files, err := certs.Ensure(h.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key, ClientCAFile: files.CA, ClientAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	h.cfg = quic.Config{Address: "127.0.0.1:0", TLS: server, QUIC: quicnet.DefaultConfig(), Streams: 10}
	if change != nil {
		change(&h.cfg)
	}
	h.start(handle)
	t.Cleanup(func() {
		h.leave()
		if err := <-h.over; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

func (h *house) start(handle func(context.Context, net.Conn) error) {
	h.t.Helper()
	h.reg = prometheus.NewRegistry()
	var err error
	h.l, err = quic.Listen(h.cfg, func() uint64 { return h.ids.Add(1) }, slog.New(slog.DiscardHandler), h.reg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.cfg.Address = h.l.Addr().String() // a restart uses the same address
	ctx, cancel := context.WithCancel(context.Background())
	h.leave, h.over = cancel, make(chan error, 1)
	go func() {
		h.over <- h.l.Serve(ctx, func(ctx context.Context, nc net.Conn, info kafka.ConnInfo) error {
			defer nc.Close()
			h.infos <- info
			return handle(ctx, nc)
		})
	}()
}

func echo(ctx context.Context, nc net.Conn) error {
	defer context.AfterFunc(ctx, func() { nc.SetReadDeadline(time.Unix(1, 0)) })()
	_, err := io.Copy(nc, nc)
	return err
}

func (h *house) tls() *tls.Config {
	h.t.Helper()
	c, err := certs.ClientConfig(certs.In(h.dir).CA, "", "")
	if err != nil {
		h.t.Fatal(err)
	}
	c = quicnet.TLS(c)
	c.ServerName = "localhost"
	return c
}

// dial opens a connection from a socket of its own.
func (h *house) dial(c *tls.Config) (*quicgo.Conn, error) {
	h.t.Helper()
	socket, err := quicnet.DefaultConfig().Listen("127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	tr := &quicgo.Transport{Conn: socket}
	h.t.Cleanup(func() { tr.Close(); socket.Close() })
	return tr.Dial(within(h.t), h.l.Addr(), c, quicnet.ClientConfig().Client())
}

func (h *house) mustDial() *quicgo.Conn {
	h.t.Helper()
	qc, err := h.dial(h.tls())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = qc.CloseWithError(0, "") })
	return qc
}

func stream(t testing.TB, qc *quicgo.Conn) *quicnet.Conn {
	t.Helper()
	s, err := qc.OpenStreamSync(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return quicnet.NewConn(qc, s)
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// ask writes a message and expects it to be echoed.
func ask(t testing.TB, c net.Conn, message string) {
	t.Helper()
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(message))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != message {
		t.Fatalf("%q came back as %q, %v", message, b, err)
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

// proxy forwards the datagrams of one client until it loses the server.
type proxy struct {
	t     *testing.T
	addr  net.Addr
	to    string
	front net.PacketConn
	back  atomic.Pointer[net.Conn]
	wg    sync.WaitGroup

	client atomic.Pointer[net.Addr]
}

func newProxy(t *testing.T, to string) *proxy {
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, addr: front.LocalAddr(), to: to, front: front}
	p.find()
	t.Cleanup(func() { front.Close(); p.lose(); p.wg.Wait() })
	p.wg.Go(func() {
		b := make([]byte, 2000)
		for {
			n, from, err := front.ReadFrom(b)
			if err != nil {
				return
			}
			p.client.Store(&from)
			_, _ = (*p.back.Load()).Write(b[:n])
		}
	})
	return p
}

// lose drops all datagrams from now on.
func (p *proxy) lose() { (*p.back.Load()).Close() }

// find connects to the server again.
func (p *proxy) find() {
	back, err := net.Dial("udp", p.to)
	if err != nil {
		p.t.Fatal(err)
	}
	p.back.Store(&back)
	p.wg.Go(func() {
		b := make([]byte, 2000)
		for {
			n, err := back.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = p.front.WriteTo(b[:n], *p.client.Load())
			}
		}
	})
}
