package sluice_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func within(t house) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestClientOptsMakeAKgoClientSpeakQUIC(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	opts, err := sluice.ClientOpts(f.config())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("orders"), kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(within(t), kgo.StringRecord("one"), kgo.StringRecord("two")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for n < 2 {
		fs := cl.PollFetches(within(t))
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		n += fs.NumRecords()
	}
	if c, s := f.conns.Load(), f.streams.Load(); c != 1 || s < 3 {
		t.Errorf("%d streams on %d connections, want several on one", s, c)
	}
}

func TestDialOfAClosedPortFailsAtOnce(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	f.halt()
	d, err := sluice.NewDialer(f.config())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	began := time.Now()
	_, err = d.DialContext(within(t), "tcp", f.addr)
	if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(began) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// A client must notice that the broker was restarted from the first packet that
// the new process answers, not from a timeout.
func TestClientGoesOnAfterARestart(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	opts, err := sluice.ClientOpts(f.config())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("orders"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(within(t), kgo.StringRecord("before")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f.halt()
	f.start()
	began := time.Now()
	if err := cl.ProduceSync(within(t), kgo.StringRecord("after")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v to notice the restart", d)
	}
	if n := f.conns.Load(); n != 2 {
		t.Errorf("%d connections were made, want one before and one after", n)
	}
}

func newDialer(t testing.TB, cfg sluice.Config) *sluice.Dialer {
	t.Helper()
	d, err := sluice.NewDialer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestStreamsShareConnections(t *testing.T) {
	for _, connections := range []int{1, 3} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			f := newFront(t, certs.ClientAuthNone)
			cfg := f.config()
			cfg.Connections = connections
			d := newDialer(t, cfg)
			var wg sync.WaitGroup
			for range 12 { // all at once: they must wait for the same handshakes
				wg.Go(func() {
					c, err := d.DialContext(within(t), "tcp", f.addr)
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { _ = c.Close() })
					if _, err := c.Write([]byte{0}); err != nil { // shows the stream to the broker
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for range 12 {
				<-f.arrived
			}
			if s := d.Stats(); s.Connections != int64(connections) || s.Streams != 12 || s.Handshakes != int64(connections) || s.BytesWritten != 12 {
				t.Errorf("stats %+v", s)
			}
			if n := f.conns.Load(); n != int64(connections) {
				t.Errorf("the broker saw %d connections", n)
			}
		})
	}
}

func TestCloseEndsStreamsAndConnections(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	d := newDialer(t, f.config())
	c, err := d.DialContext(within(t), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Error("a read on a closed connection succeeded")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.DialContext(within(t), "tcp", f.addr); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
	if s := d.Stats(); s.Connections != 0 || s.Streams != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestCertificates(t *testing.T) {
	f := newFront(t, certs.ClientAuthRequired, "orders")
	own, err := certs.Issue(f.dir, "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if _, err := certs.Ensure(other, nil); err != nil {
		t.Fatal(err)
	}
	foreign, err := certs.Issue(other, "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*sluice.Config)
		want   error
		says   string
	}{
		{"good", func(c *sluice.Config) { c.CertFile, c.KeyFile = own.Cert, own.Key }, nil, ""},
		{"none", func(*sluice.Config) {}, sluice.ErrCertificateRefused, "give a certificate"},
		{"foreign", func(c *sluice.Config) { c.CertFile, c.KeyFile = foreign.Cert, foreign.Key }, sluice.ErrCertificateRefused, "signed"},
		{"wrong CA", func(c *sluice.Config) { c.CAFile = foreign.CA }, sluice.ErrUntrusted, "give the CA file"},
		{"no CA", func(c *sluice.Config) { c.CA = x509.NewCertPool() }, sluice.ErrUntrusted, "give the CA file"},
		{"wrong name", func(c *sluice.Config) { c.ServerName = "example.org" }, sluice.ErrUntrusted, "example.org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := f.config()
			c.change(&cfg)
			p := newProducer(t, cfg, nil)
			began := time.Now()
			err := p.Ping(within(t))
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("ping: %v, want %v", err, c.want)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("it took %v to know", d)
			}
		})
	}
}

func TestCAFromADataDirectory(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	cfg := f.config()
	cfg.CAFile, cfg.DataDirectory = "", t.TempDir()
	if _, err := sluice.NewDialer(cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data directory without a CA: %v", err)
	}
	if err := os.Symlink(f.dir, filepath.Join(cfg.DataDirectory, "tls")); err != nil {
		t.Fatal(err)
	}
	if err := newProducer(t, cfg, nil).Ping(within(t)); err != nil {
		t.Error(err)
	}
}

// While the broker is away, records wait; when it is back, they arrive once each
// and in order.
func TestRecordsOutliveAnOutage(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic, c.Linger = "orders", 0 })
	ctx := within(t)
	const n = 2000
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			p.Produce(ctx, &sluice.Record{Key: []byte("same"), Value: fmt.Append(nil, i)}, func(_ *sluice.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	flush := func() {
		t.Helper()
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	produce(0, n/4)
	flush() // from here on there is a connection to lose
	produce(n/4, n/2)
	f.halt()
	produce(n/2, 3*n/4)
	if _, err := newDialer(t, f.config()).DialContext(ctx, "tcp", f.addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a broker that is away: %v", err)
	}
	f.start()
	produce(3*n/4, n)
	flush()
	for i, r := range read(t, newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} }), n) {
		if string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, r.Value)
		}
	}
	if s := p.Stats().Dialer; s.Lost == 0 || s.Handshakes < 2 {
		t.Errorf("no connection was lost: %+v", s)
	}
}

// The same clients over the other transports, and what they say when it cannot be.
func TestTCPAndTLS(t *testing.T) {
	dir := t.TempDir()
	files, err := certs.Ensure(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := func(auth certs.ClientAuth) string {
		t.Helper()
		c, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key, ClientCAFile: files.CA, ClientAuth: auth})
		if err != nil {
			t.Fatal(err)
		}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(c))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		return cluster.ListenAddrs()[0]
	}
	plain, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { web.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := web.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}
	})
	open, strict, plainAddr := server(certs.ClientAuthNone), server(certs.ClientAuthRequired), plain.ListenAddrs()[0]
	own, err := certs.Issue(dir, "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  sluice.Config
		want error
	}{
		{"plaintext", sluice.Config{Brokers: []string{plainAddr}, Transport: sluice.TCP}, nil},
		{"TLS", sluice.Config{Brokers: []string{open}, Transport: sluice.TLS, CAFile: files.CA}, nil},
		{"TLS, unknown authority", sluice.Config{Brokers: []string{open}, Transport: sluice.TLS, CA: x509.NewCertPool()}, sluice.ErrUntrusted},
		{"TLS to a web server", sluice.Config{Brokers: []string{web.Addr().String()}, Transport: sluice.TLS, CAFile: files.CA}, sluice.ErrNotSluice},
		{"mutual TLS", sluice.Config{Brokers: []string{strict}, Transport: sluice.TLS, CAFile: files.CA, CertFile: own.Cert, KeyFile: own.Key}, nil},
		{"mutual TLS, no certificate", sluice.Config{Brokers: []string{strict}, Transport: sluice.TLS, CAFile: files.CA}, sluice.ErrCertificateRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := newProducer(t, c.cfg, nil).Ping(within(t)); !errors.Is(err, c.want) {
				t.Errorf("ping: %v, want %v", err, c.want)
			}
		})
	}
}

func TestABrokerThatDoesNotAnswer(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d := newDialer(t, sluice.Config{DialTimeout: 200 * time.Millisecond})
	_, err = d.DialContext(within(t), "tcp", silent.LocalAddr().String())
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !strings.Contains(err.Error(), "firewall") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnotherProtocolOnThePort(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	f.halt()
	socket, err := net.ListenPacket("udp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	c := f.tls.Clone()
	c.NextProtos, c.MinVersion = []string{"h3"}, tls.VersionTLS13
	l, err := quic.Listen(socket, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := newProducer(t, f.config(), nil).Ping(within(t)); !errors.Is(err, sluice.ErrNotSluice) {
		t.Errorf("ping: %v", err)
	}
}

func TestDialByName(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	_, port, err := net.SplitHostPort(f.addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newDialer(t, f.config()).DialContext(within(t), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAConnectionEndsWithItsLastClient(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	opts, err := sluice.ClientOpts(f.config())
	if err != nil {
		t.Fatal(err)
	}
	one, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	two, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, cl := range []*kgo.Client{one, two} {
		if err := cl.Ping(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	one.Close()
	if err := two.Ping(within(t)); err != nil {
		t.Error(err)
	}
	two.Close()
	if n := f.conns.Load(); n != 1 {
		t.Errorf("%d connections for two clients of one dialer", n)
	}
}
