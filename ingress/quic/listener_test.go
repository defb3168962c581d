package quic_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	quicgo "github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/ingress/quic"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

func TestStreamsAreConnectionsOfTheirOwn(t *testing.T) {
	h := open(t, certs.ClientAuthNone, nil, echo)
	qc := h.mustDial()
	one, two := stream(t, qc), stream(t, qc)
	ask(t, one, "first")
	ask(t, two, "second")
	a, b := <-h.infos, <-h.infos
	if a.ID == b.ID || a.Transport != "quic" || a.TLS == nil || a.TLS.Version != tls.VersionTLS13 ||
		a.Remote.String() != qc.LocalAddr().String() || a.Local.String() != h.l.Addr().String() {
		t.Errorf("connections are described as %+v and %+v", a, b)
	}
	one.Close()
	ask(t, two, "third")
	if n := h.metric("sluice_listener_connections"); n != 1 {
		t.Errorf("%v connections are counted, want one", n)
	}
}

func TestAStreamThatTheServerEndsEndsAlone(t *testing.T) {
	h := open(t, certs.ClientAuthNone, nil, func(ctx context.Context, nc net.Conn) error {
		b := make([]byte, 4)
		if _, err := io.ReadFull(nc, b); err != nil {
			return err
		}
		if string(b) == "quit" {
			_, err := io.WriteString(nc, "bye")
			return err
		}
		return echo(ctx, nc)
	})
	qc := h.mustDial()
	stay, quit := stream(t, qc), stream(t, qc)
	if _, err := io.WriteString(stay, "stay"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(quit, "quit"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(quit); err != nil || string(b) != "bye" {
		t.Errorf("the stream ended with %q, %v", b, err)
	}
	ask(t, stay, "still here")
}

func TestConnectionsAreBounded(t *testing.T) {
	for name, change := range map[string]func(*quic.Config){
		"in all":         func(c *quic.Config) { c.Connections = 1 },
		"of one address": func(c *quic.Config) { c.ConnectionsPerIP = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, certs.ClientAuthNone, change, echo)
			first := h.mustDial()
			ask(t, stream(t, first), "hello")
			var refused *quicgo.TransportError
			if _, err := h.dial(h.tls()); !errors.As(err, &refused) || refused.ErrorCode != quicgo.ConnectionRefused {
				t.Fatalf("one too many: %v", err)
			}
			if n := h.metric("sluice_listener_refused_total"); n < 1 {
				t.Errorf("%v refusals are counted", n)
			}
			_ = first.CloseWithError(0, "")
			for ctx := within(t); ; { // the server notices soon
				if qc, err := h.dial(h.tls()); err == nil {
					ask(t, stream(t, qc), "now")
					_ = qc.CloseWithError(0, "")
					return
				} else if ctx.Err() != nil {
					t.Fatalf("the slot was not released: %v", err)
				}
			}
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	h := open(t, certs.ClientAuthNone, func(c *quic.Config) { c.Streams = 2 }, echo)
	qc := h.mustDial()
	one, two := stream(t, qc), stream(t, qc)
	ask(t, one, "1")
	ask(t, two, "2")
	if _, err := qc.OpenStream(); err == nil {
		t.Fatal("a third stream was allowed")
	}
	one.Close()
	one.Linger(time.Second)
	ask(t, stream(t, qc), "3") // opens once the server has seen the first end
}

func TestAnUnusedConnectionIsClosed(t *testing.T) {
	h := open(t, certs.ClientAuthNone, func(c *quic.Config) { c.UnusedTimeout = 300 * time.Millisecond }, echo)
	qc := h.mustDial()
	c := stream(t, qc)
	for began := time.Now(); time.Since(began) < 600*time.Millisecond; { // stays in use longer
		ask(t, c, "busy")
	}
	c.Close()
	c.Linger(time.Second)
	var closed *quicgo.ApplicationError
	select {
	case <-qc.Context().Done():
		if err := context.Cause(qc.Context()); !errors.As(err, &closed) || closed.ErrorCode != quicnet.CodeNone {
			t.Errorf("it ended with %v", err)
		}
	case <-within(t).Done():
		t.Error("it was not closed")
	}
}

func TestClientCertificates(t *testing.T) {
	h := open(t, certs.ClientAuthRequired, nil, echo)
	own, err := certs.Issue(h.dir, "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.ClientConfig(own.CA, own.Cert, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	c = quicnet.TLS(c)
	c.ServerName = "localhost"
	qc, err := h.dial(c)
	if err != nil {
		t.Fatal(err)
	}
	defer qc.CloseWithError(0, "")
	ask(t, stream(t, qc), "it is me")
	if info := <-h.infos; len(info.TLS.PeerCertificates) != 1 || info.TLS.PeerCertificates[0].Subject.CommonName != "app" {
		t.Errorf("the identity is %+v", info.TLS.PeerCertificates)
	}
	none, err := h.dial(h.tls()) // in TLS 1.3 the refusal arrives after the client's handshake
	if err == nil {
		<-none.Context().Done()
		err = context.Cause(none.Context())
	}
	var refused *quicgo.TransportError
	if !errors.As(err, &refused) || !refused.ErrorCode.IsCryptoError() {
		t.Errorf("a client without a certificate: %v", err)
	}
}

// The listener closes, then its streams are asked to end: their last responses still arrive.
func TestGracefulStopDeliversTheLastAnswer(t *testing.T) {
	answer := strings.Repeat("last words ", 10_000)
	asked := make(chan struct{})
	h := open(t, certs.ClientAuthNone, nil, func(ctx context.Context, nc net.Conn) error {
		close(asked)
		<-ctx.Done()
		_, err := io.WriteString(nc, answer)
		return err
	})
	c := stream(t, h.mustDial())
	if _, err := io.WriteString(c, "?"); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}
	var refused *quicgo.TransportError
	if _, err := h.dial(h.tls()); !errors.As(err, &refused) || refused.ErrorCode != quicgo.ConnectionRefused {
		t.Errorf("a closed listener: %v", err)
	}
	h.leave()
	if b, err := io.ReadAll(c); err != nil || string(b) != answer {
		t.Errorf("%d bytes of %d came, %v", len(b), len(answer), err)
	}
	c.Close()
	h.over <- <-h.over // for the cleanup
}

func TestAStopDoesNotWaitForIdleStreams(t *testing.T) {
	h := open(t, certs.ClientAuthNone, nil, echo)
	c := stream(t, h.mustDial())
	ask(t, c, "hello")
	time.Sleep(1100 * time.Millisecond) // longer than the linger time
	began := time.Now()
	h.leave()
	err := <-h.over
	h.over <- err
	if d := time.Since(began); d > 900*time.Millisecond {
		t.Errorf("the stop took %v", d)
	}
}

func TestPortInUse(t *testing.T) {
	h := open(t, certs.ClientAuthNone, nil, echo)
	cfg := h.cfg
	_, err := quic.Listen(cfg, func() uint64 { return 0 }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "is in use; stop what listens there or set another address") {
		t.Errorf("a second listener on %s: %v", cfg.Address, err)
	}
}

// A client of a previous process must be told by the next one that its connection is gone,
// instead of waiting for a timeout.
func TestClientsOfAnEarlierProcessAreTold(t *testing.T) {
	h := open(t, certs.ClientAuthNone, nil, echo)
	proxy := newProxy(t, h.cfg.Address)
	socket, err := quicnet.DefaultConfig().Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quicgo.Transport{Conn: socket}
	defer socket.Close()
	defer tr.Close()
	qc, err := tr.Dial(within(t), proxy.addr, h.tls(), quicnet.ClientConfig().Client())
	if err != nil {
		t.Fatal(err)
	}
	c := stream(t, qc)
	ask(t, c, "hello")
	proxy.lose() // the close is lost, as in a crash
	h.leave()
	if err := <-h.over; err != nil {
		t.Fatal(err)
	}
	h.start(echo)
	proxy.find()
	if _, err := io.WriteString(c, "are you there? I have been waiting"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var reset *quicgo.StatelessResetError
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &reset) {
		t.Errorf("the read ended with %v", err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestNoiseOnThePortHarmsNobody(t *testing.T) {
	h := open(t, certs.ClientAuthNone, nil, echo)
	c := stream(t, h.mustDial())
	ask(t, c, "before")
	noise, err := net.Dial("udp", h.cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	for i := range 2000 {
		b := make([]byte, i%1400+1)
		for j := range b {
			b[j] = byte(i*7 + j*j)
		}
		_, _ = noise.Write(b)
	}
	ask(t, c, "after")
	ask(t, stream(t, h.mustDial()), "a newcomer")
}

// When more clients arrive at once than are trusted, all must still get in after validating
// their address.
func TestARushOfClientsProvesItsAddresses(t *testing.T) {
	h := open(t, certs.ClientAuthNone, func(c *quic.Config) { c.NewConnections = 1 }, echo)
	for range 5 {
		ask(t, stream(t, h.mustDial()), "hello")
	}
	if n := h.metric("sluice_listener_accepted_total"); n != 5 {
		t.Errorf("%v connections are counted", n)
	}
}

// The windows of all connections stay within their budget, and connections that may not grow
// still work.
func TestWindowsHaveABudget(t *testing.T) {
	h := open(t, certs.ClientAuthNone, func(c *quic.Config) {
		c.Memory, c.QUIC.ReceiveOffload = listener.NewMemory(160<<10), false
	}, func(_ context.Context, nc net.Conn) error {
		n, err := io.Copy(io.Discard, nc)
		if err == nil {
			_, err = nc.Write([]byte{byte(n >> 20)})
		}
		return err
	})
	qc := h.mustDial()
	s, err := qc.OpenStreamSync(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 20<<20)); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if b, err := io.ReadAll(s); err != nil || len(b) != 1 || b[0] != 20 {
		t.Errorf("the server has read %v MiB, %v", b, err)
	}
}

// Streams are charged across all connections: one too many is refused, the others on its
// connection continue, and each releases what it held.
func TestStreamsAreChargedToMemory(t *testing.T) {
	m := listener.NewMemory(240 << 10) // one address may use three quarters: a connection and six streams
	h := open(t, certs.ClientAuthNone, func(c *quic.Config) { c.Memory, c.QUIC.ReceiveOffload = m, false }, echo)
	qc := h.mustDial()
	streams := make([]*quicnet.Conn, 6)
	for i := range streams {
		streams[i] = stream(t, qc)
		ask(t, streams[i], "hello")
	}
	refused := stream(t, qc)
	if _, err := refused.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(refused); err == nil {
		t.Error("a stream beyond the limit succeeded")
	}
	if n := h.metric("sluice_listener_refused_streams_total"); n != 1 {
		t.Errorf("%v streams are counted as refused", n)
	}
	ask(t, streams[0], "still here")
	streams[0].Close()
	for began := time.Now(); ; {
		if used, _ := m.Memory(); used <= (48+32+5*16)<<10 {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("a stream that has ended is still charged")
		}
		time.Sleep(time.Millisecond)
	}
	ask(t, stream(t, qc), "another")
	_ = qc.CloseWithError(0, "")
	for began := time.Now(); ; {
		used, _ := m.Memory()
		if used == 0 {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d bytes are still charged after everything ended", used)
		}
		time.Sleep(time.Millisecond)
	}
}

// The socket's receive buffers are charged to the connection memory while the socket is open.
func TestBuffersOfTheSocketAreCharged(t *testing.T) {
	for _, offload := range []bool{true, false} {
		m := listener.NewMemory(1 << 20)
		h := open(t, certs.ClientAuthNone, func(c *quic.Config) { c.Memory, c.QUIC.ReceiveOffload = m, offload }, echo)
		used, _ := m.Memory()
		if most := int64(512 << 10); offload && runtime.GOOS == "linux" && used < 64<<10 || !offload && used != 0 || used > most {
			t.Errorf("offload %t: %d bytes are charged", offload, used)
		}
		h.leave()
		if err := <-h.over; err != nil {
			t.Error(err)
		}
		h.over <- nil // for the end of the test
		if used, _ := m.Memory(); used != 0 {
			t.Errorf("offload %t: %d bytes are charged after the end", offload, used)
		}
	}
}

func TestConfigsThatCannotWork(t *testing.T) {
	good := quic.Config{Address: "127.0.0.1:0", TLS: &tls.Config{}, QUIC: quicnet.DefaultConfig(), Streams: 1}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*quic.Config){
		"no address":      func(c *quic.Config) { c.Address = "" },
		"certificate":     func(c *quic.Config) { c.TLS = nil },
		"one stream":      func(c *quic.Config) { c.Streams = 0 },
		"negative":        func(c *quic.Config) { c.Connections = -1 },
		"must not be neg": func(c *quic.Config) { c.UnusedTimeout = -1 },
		"keep-alive":      func(c *quic.Config) { c.QUIC.KeepAlive = c.QUIC.IdleTimeout },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
