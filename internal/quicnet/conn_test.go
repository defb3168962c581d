package quicnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/nettest"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// conns returns both ends of a stream.
func conns(t testing.TB, cfg quicnet.Config) (p *pair, client, server *quicnet.Conn) {
	t.Helper()
	arrived := make(chan *quicnet.Conn, 1)
	p = newPair(t, cfg, func(c *quic.Conn, s *quic.Stream) { arrived <- quicnet.NewConn(c, s) })
	client = open(t, p)
	server = <-arrived
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return p, client, server
}

// open opens a stream and sends a first byte, so that the server sees it.
func open(t testing.TB, p *pair) *quicnet.Conn {
	t.Helper()
	s, err := p.client.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := quicnet.NewConn(p.client, s)
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConnIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		_, client, server := conns(t, quicnet.ClientConfig())
		return client, server, func() { client.Close(); server.Close() }, nil
	})
}

func TestWhatWasWrittenArrivesAfterClose(t *testing.T) {
	_, client, server := conns(t, quicnet.ClientConfig())
	want := bytes.Repeat([]byte("all of it"), 200_000)
	go func() {
		_, _ = client.Write(want)
		client.Close()
	}()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d came, %v", len(got), len(want), err)
	}
}

func TestLingerReturnsOnceThePeerHasEnded(t *testing.T) {
	_, client, server := conns(t, quicnet.ClientConfig())
	want := bytes.Repeat([]byte("x"), 1<<20)
	delivered := make(chan struct{})
	go func() {
		_, _ = server.Write(want)
		server.Close()
		server.Linger(time.Minute)
		close(delivered)
	}()
	got, err := io.ReadAll(client)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d bytes came, %v", len(got), err)
	}
	select {
	case <-delivered:
		t.Fatal("it did not wait for the peer")
	default:
	}
	client.Close()
	<-delivered
}

func TestLingerIsBounded(t *testing.T) {
	_, client, server := conns(t, quicnet.ClientConfig())
	if _, err := server.Write([]byte("never read")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	began := time.Now()
	server.Linger(100 * time.Millisecond)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	// The peer must stop writing.
	for until := time.Now().Add(10 * time.Second); ; {
		if _, err := client.Write(make([]byte, 1<<10)); err != nil {
			if !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the write ended with %v", err)
			}
			return
		}
		if time.Now().After(until) {
			t.Fatal("the peer writes on")
		}
	}
}

// A partially written frame must not look like the end of the stream.
func TestAWriteThatWasCutResetsTheStream(t *testing.T) {
	cfg := quicnet.ClientConfig()
	cfg.StreamWindowBytes, cfg.ConnectionWindowBytes = 64<<10, 64<<10
	_, client, server := conns(t, cfg)
	type result struct {
		n   int
		err error
	}
	wrote := make(chan result, 1)
	go func() {
		n, err := client.Write(make([]byte, 10<<20))
		wrote <- result{n, err}
	}()
	if _, err := io.ReadFull(server, make([]byte, 1<<10)); err != nil { // part of it was sent
		t.Fatal(err)
	}
	if err := client.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	r := <-wrote
	var timeout net.Error
	if !errors.As(r.err, &timeout) || !timeout.Timeout() || r.n == 0 || r.n == 10<<20 {
		t.Fatalf("%d bytes were written, %v", r.n, r.err)
	}
	client.Close()
	if _, err := io.Copy(io.Discard, server); err == nil {
		t.Error("the rest is taken for whole")
	}
}

func TestCloseEndsABlockedWrite(t *testing.T) {
	cfg := quicnet.ClientConfig()
	cfg.StreamWindowBytes, cfg.ConnectionWindowBytes = 64<<10, 64<<10
	_, client, _ := conns(t, cfg)
	wrote := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 10<<20))
		wrote <- err
	}()
	client.Close()
	if err := <-wrote; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the write ended with %v", err)
	}
	if _, err := client.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a later write: %v", err)
	}
	if err := client.SetDeadline(time.Now().Add(time.Hour)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a later deadline: %v", err)
	}
}

func TestTheEndOfTheConnectionIsTheEndOfItsStreams(t *testing.T) {
	p, client, server := conns(t, quicnet.ClientConfig())
	_ = p.client.CloseWithError(quicnet.CodeNone, "")
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("in good order: %d, %v", n, err)
	}
	if _, err := server.Write([]byte("late")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write after it: %v", err)
	}
	_, err := client.Read(make([]byte, 1))
	if err == nil || err == io.EOF || !errors.Is(err, net.ErrClosed) {
		t.Errorf("on the end that closed it: %v", err)
	}
	p, _, server = conns(t, quicnet.ClientConfig())
	_ = p.client.CloseWithError(quicnet.CodeRefused, "out of memory")
	if _, err := server.Read(make([]byte, 1)); err == nil || err == io.EOF || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("in disorder: %v", err)
	}
}

func TestOtherProtocolsAreRefused(t *testing.T) {
	files, err := certs.Ensure(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newTransport(t, "127.0.0.1:0").Listen(quicnet.TLS(st), quicnet.ClientConfig().Server(1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ct, err := certs.ClientConfig(files.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	ct = quicnet.TLS(ct)
	ct.ServerName, ct.NextProtos = "localhost", []string{"h3"}
	_, err = newTransport(t, "127.0.0.1:0").Dial(t.Context(), l.Addr(), ct, quicnet.ClientConfig().Client())
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != 0x100+120 { // no_application_protocol
		t.Errorf("HTTP/3: %v", err)
	}
}

func TestServersOpenNoStreams(t *testing.T) {
	p, _, _ := conns(t, quicnet.ClientConfig())
	if _, err := p.server.OpenStream(); err == nil {
		t.Error("the server opened a stream")
	}
	if _, err := p.server.OpenUniStream(); err == nil {
		t.Error("the server opened a one-way stream")
	}
	if _, err := p.client.OpenUniStream(); err == nil {
		t.Error("the client opened a one-way stream")
	}
}

func TestRefusedPortsAreReported(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		gone, err := quicnet.ClientConfig().Listen(address)
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			continue // a machine without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		to := gone.LocalAddr().(*net.UDPAddr)
		gone.Close()
		socket, err := quicnet.ClientConfig().Socket(to)
		if err != nil {
			t.Fatal(err)
		}
		quicnet.ReportRefused(socket, true)
		tr := &quic.Transport{Conn: socket}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		ct, _ := certs.ClientConfig("", "", "")
		_, err = tr.Dial(ctx, to, quicnet.TLS(ct), quicnet.ClientConfig().Client())
		cancel()
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v", address, err)
		}
		tr.Close()
		socket.Close()
	}
}

func TestConfigsThatCannotWork(t *testing.T) {
	if err := quicnet.ClientConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*quicnet.Config){
		"quic_idle_timeout_ms must be": func(c *quicnet.Config) { c.IdleTimeout = 0 },
		"keep-alive":                   func(c *quicnet.Config) { c.KeepAlive = c.IdleTimeout },
		"quic_stream_window_bytes":     func(c *quicnet.Config) { c.StreamWindowBytes = 1000 },
		"must not be below":            func(c *quicnet.Config) { c.ConnectionWindowBytes = c.StreamWindowBytes - 1 },
	} {
		c := quicnet.ClientConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
