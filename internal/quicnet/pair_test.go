package quicnet_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a client connected to a server over loopback.
type pair struct {
	client, server *quic.Conn
}

// newPair connects a client to a server that calls handle for each stream. Both are closed at the
// end of the test.
func newPair(t testing.TB, cfg quicnet.Config, handle func(*quic.Conn, *quic.Stream)) *pair {
	t.Helper()
	files, err := certs.Ensure(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key})
	if err != nil {
		t.Fatal(err)
	}
	ct, err := certs.ClientConfig(files.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	server := newTransport(t, "127.0.0.1:0")
	l, err := server.Listen(quicnet.TLS(st), cfg.Server(4))
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *quic.Conn, 1)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	wg.Go(func() { serve(l, accepted, &wg, handle) })
	p := &pair{client: dial(t, l.Addr(), ct, cfg)}
	p.server = <-accepted
	t.Cleanup(func() { _ = l.Close(); _ = p.client.CloseWithError(0, "") })
	return p
}

func serve(l *quic.Listener, accepted chan *quic.Conn, wg *sync.WaitGroup, handle func(*quic.Conn, *quic.Stream)) {
	c, err := l.Accept(context.Background())
	if err != nil {
		return
	}
	accepted <- c
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		wg.Go(func() { handle(c, s) })
	}
}

func newTransport(t testing.TB, address string) *quic.Transport {
	t.Helper()
	socket, err := quicnet.DefaultConfig().Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: socket}
	t.Cleanup(func() { _ = tr.Close(); _ = socket.Close() })
	return tr
}

func dial(t testing.TB, to net.Addr, c *tls.Config, cfg quicnet.Config) *quic.Conn {
	t.Helper()
	c = quicnet.TLS(c)
	c.ServerName = "localhost"
	qc, err := newTransport(t, "127.0.0.1:0").Dial(t.Context(), to, c, cfg.Client())
	if err != nil {
		t.Fatal(err)
	}
	return qc
}
