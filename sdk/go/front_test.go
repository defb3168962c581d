package sluice_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

// front is a test broker: kfake, which only speaks TCP, behind a QUIC listener that forwards
// each stream to it. kfake advertises the listener's port, so that clients come back through
// it.
type front struct {
	t       house
	dir     string // certificates
	addr    string
	cluster *kfake.Cluster
	tls     *tls.Config

	transport *quic.Transport
	socket    *quicnet.Socket
	stop      context.CancelFunc
	wg        sync.WaitGroup

	conns, streams atomic.Int64  // accepted so far
	arrived        chan struct{} // receives for each stream
}

// house is the part of testing.TB that a front needs, so that examples can use one.
type house interface {
	Helper()
	Fatal(...any)
	TempDir() string
	Cleanup(func())
}

// newFront starts a broker whose topics have three partitions.
func newFront(t house, auth certs.ClientAuth, topics ...string) *front {
	t.Helper()
	f := &front{t: t, dir: t.TempDir(), arrived: make(chan struct{}, 1000)}
	files, err := certs.Ensure(f.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.tls, err = certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key, ClientCAFile: files.CA, ClientAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, topics...)}
	if f.cluster, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	f.addr = f.cluster.ListenAddrs()[0] // the same port number for UDP
	f.start()
	t.Cleanup(func() {
		f.halt()
		f.cluster.Close()
	})
	return f
}

// start opens the listener.
func (f *front) start() {
	f.t.Helper()
	var err error
	if f.socket, err = quicnet.DefaultConfig().Listen(f.addr); err != nil {
		f.t.Fatal(err)
	}
	f.transport = &quic.Transport{Conn: f.socket, StatelessResetKey: &quic.StatelessResetKey{1}}
	l, err := f.transport.Listen(quicnet.TLS(f.tls), quicnet.DefaultConfig().Server(100))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	f.wg.Go(func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			f.conns.Add(1)
			f.wg.Go(func() { f.serve(ctx, c) })
		}
	})
}

// halt closes the listener without notifying anybody, like a crash.
func (f *front) halt() {
	if f.stop == nil {
		return
	}
	f.stop()
	f.socket.Close()
	f.transport.Close()
	f.wg.Wait()
	f.stop = nil
}

func (f *front) serve(ctx context.Context, c *quic.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		f.streams.Add(1)
		f.arrived <- struct{}{}
		f.wg.Go(func() { f.relay(quicnet.NewConn(c, s)) })
	}
}

func (f *front) relay(c *quicnet.Conn) {
	up, err := net.Dial("tcp", f.addr)
	if err != nil {
		c.Close()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(up, c); up.(*net.TCPConn).CloseWrite() })
	_, _ = io.Copy(c, up)
	c.Close()
	wg.Wait()
	up.Close()
}

// createTopic creates a topic with three partitions.
func (f *front) createTopic(name string) {
	f.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.addr))
	if err != nil {
		f.t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(within(f.t), 3, 1, nil, name); err != nil {
		f.t.Fatal(err)
	}
}

// config returns a config for the broker.
func (f *front) config() sluice.Config {
	return sluice.Config{Brokers: []string{f.addr}, CAFile: certs.In(f.dir).CA, ClientID: fmt.Sprintf("test-%d", f.conns.Load())}
}
