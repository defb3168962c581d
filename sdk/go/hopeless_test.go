package sluice_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

// selfSigned returns a certificate for localhost that was, is, or will be valid.
func selfSigned(t *testing.T, from, to time.Time, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, DNSNames: names,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// listen accepts handshakes over a transport, and silently reads what follows.
func listen(t *testing.T, transport sluice.Transport, c *tls.Config) (port string) {
	t.Helper()
	var wg sync.WaitGroup
	if transport == sluice.QUIC {
		socket, err := quicnet.DefaultConfig().Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tr := &quic.Transport{Conn: socket}
		c = c.Clone()
		c.MinVersion = tls.VersionTLS13
		if c.NextProtos == nil {
			c = quicnet.TLS(c)
		}
		l, err := tr.Listen(c, quicnet.DefaultConfig().Server(10))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close(); socket.Close(); wg.Wait() })
		wg.Go(func() {
			for {
				if _, err := l.Accept(context.Background()); err != nil {
					return
				}
			}
		})
		_, port, _ = net.SplitHostPort(socket.LocalAddr().String())
		return port
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
				_ = nc.(*tls.Conn).Handshake()
				for b := make([]byte, 512); err == nil; {
					_, err = nc.Read(b)
				}
			})
		}
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// users are all kinds of clients, each with its first operation.
var users = map[string]func(t *testing.T, cfg sluice.Config) error{
	"consumer": func(t *testing.T, cfg sluice.Config) error {
		return firstPoll(t, newConsumer(t, cfg, func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} }))
	},
	"consumer of partitions": func(t *testing.T, cfg sluice.Config) error {
		return firstPoll(t, newConsumer(t, cfg, func(c *sluice.ConsumerConfig) { c.Partitions = map[string][]int32{"orders": {0}} }))
	},
	"group": func(t *testing.T, cfg sluice.Config) error {
		return firstPoll(t, newConsumer(t, cfg, func(c *sluice.ConsumerConfig) { c.Topics, c.Group = []string{"orders"}, "billing" }))
	},
	"producer": func(t *testing.T, cfg sluice.Config) error {
		return newProducer(t, cfg, nil).ProduceSync(within(t), &sluice.Record{Topic: "orders", Value: []byte("1")}, &sluice.Record{Topic: "other", Value: []byte("2")})
	},
	"producer without acknowledgements": func(t *testing.T, cfg sluice.Config) error {
		p := newProducer(t, cfg, func(c *sluice.ProducerConfig) { c.Acks, c.Idempotent = sluice.AcksNone, false })
		return p.ProduceSync(within(t), &sluice.Record{Topic: "orders", Value: []byte("1")})
	},
	"ping": func(t *testing.T, cfg sluice.Config) error { return newProducer(t, cfg, nil).Ping(within(t)) },
	"admin": func(t *testing.T, cfg sluice.Config) error {
		_, err := newAdmin(t, cfg).ListTopics(within(t))
		return err
	},
	"admin of groups": func(t *testing.T, cfg sluice.Config) error {
		_, err := newAdmin(t, cfg).CommitOffsets(within(t), "billing", kadm.Offsets{})
		if err == nil {
			_, err = newAdmin(t, cfg).FetchOffsets(within(t), "billing")
		}
		return err
	},
}

func firstPoll(t *testing.T, c *sluice.Consumer) error {
	for _, err := range c.Records(within(t)) {
		return err
	}
	return errors.New("the loop ended")
}

func newAdmin(t *testing.T, cfg sluice.Config) *kadm.Client {
	t.Helper()
	opts, err := sluice.ClientOpts(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// A broker that is unusable until somebody changes something is an immediate error, for every
// kind of client, over both transports with TLS.
func TestWhatTryingAgainDoesNotHelpAgainst(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	good, pool := selfSigned(t, now.Add(-day), now.Add(day), "localhost")
	ended, endedPool := selfSigned(t, now.Add(-2*day), now.Add(-day), "localhost")
	early, earlyPool := selfSigned(t, now.Add(day), now.Add(2*day), "localhost")
	for name, c := range map[string]struct {
		server *tls.Config
		pool   *x509.CertPool
		change func(*sluice.Config)
		want   error
		says   string
	}{
		"an unknown authority":         {server: &tls.Config{Certificates: []tls.Certificate{good}}, pool: x509.NewCertPool(), want: sluice.ErrUntrusted, says: "give the CA file"},
		"a certificate that has ended": {server: &tls.Config{Certificates: []tls.Certificate{ended}}, pool: endedPool, want: sluice.ErrUntrusted, says: "expired"},
		"a certificate of tomorrow":    {server: &tls.Config{Certificates: []tls.Certificate{early}}, pool: earlyPool, want: sluice.ErrUntrusted, says: "not yet valid"},
		"another name": {server: &tls.Config{Certificates: []tls.Certificate{good}}, pool: pool,
			change: func(c *sluice.Config) { c.ServerName = "example.org" }, want: sluice.ErrUntrusted, says: "example.org"},
		"no client certificate": {server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}, pool: pool,
			want: sluice.ErrCertificateRefused, says: "give a certificate"},
		"another protocol": {server: &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"h3"}}, pool: pool, want: sluice.ErrNotSluice},
	} {
		for _, transport := range []sluice.Transport{sluice.QUIC, sluice.TLS} {
			if transport == sluice.TLS && c.want == sluice.ErrNotSluice {
				continue // over TCP clients offer no protocol, like Kafka's
			}
			server := c.server
			addr := net.JoinHostPort("localhost", listen(t, transport, server))
			for user, does := range users {
				t.Run(name+"/"+string(transport)+"/"+user, func(t *testing.T) {
					t.Parallel()
					cfg := sluice.Config{Brokers: []string{addr}, Transport: transport, CA: c.pool}
					if c.change != nil {
						c.change(&cfg)
					}
					began := time.Now()
					if err := does(t, cfg); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
						t.Errorf("%v, want %v and %q", err, c.want, c.says)
					}
					if d := time.Since(began); d > 10*time.Second {
						t.Errorf("the error took %v", d)
					}
				})
			}
		}
	}
}

// The first broker is usable, but redirects clients to an address that its certificate does not
// name: that is an error too.
func TestAnAdvertisedNameThatIsNotInTheCertificate(t *testing.T) {
	good, pool := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	f := newFront(t, certs.ClientAuthNone, "orders")
	f.halt()
	f.tls = &tls.Config{Certificates: []tls.Certificate{good}}
	f.start()
	_, port, _ := net.SplitHostPort(f.addr)
	for _, user := range []string{"consumer", "consumer of partitions", "group", "producer"} {
		t.Run(user, func(t *testing.T) {
			err := users[user](t, sluice.Config{Brokers: []string{net.JoinHostPort("localhost", port)}, CA: pool})
			if !errors.Is(err, sluice.ErrUntrusted) || !strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%v", err)
			}
		})
	}
}

// One unusable broker of several does not affect the others.
func TestOneBadSeedOfTwo(t *testing.T) {
	bad, _ := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	f := newFront(t, certs.ClientAuthNone, "orders")
	fill(t, f, "orders", 3)
	port := listen(t, sluice.QUIC, &tls.Config{Certificates: []tls.Certificate{bad}})
	cfg := f.config()
	cfg.Brokers = []string{net.JoinHostPort("127.0.0.1", port), f.addr}
	if err := newProducer(t, cfg, nil).ProduceSync(within(t), &sluice.Record{Topic: "orders", Value: []byte("3")}); err != nil {
		t.Errorf("producer: %v", err)
	}
	read(t, newConsumer(t, cfg, func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} }), 4)
}

// Clients that were turned away use a repaired broker without a restart.
func TestClientsGoOnOnceItIsMended(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	right := f.tls
	bad, _ := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	f.halt()
	f.tls = &tls.Config{Certificates: []tls.Certificate{bad}}
	f.start()
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic = "orders" })
	c := newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} })
	if err := p.ProduceSync(within(t), &sluice.Record{Value: []byte("1")}); !errors.Is(err, sluice.ErrUntrusted) {
		t.Fatalf("produce: %v", err)
	}
	if err := firstPoll(t, c); !errors.Is(err, sluice.ErrUntrusted) {
		t.Fatalf("consume: %v", err)
	}
	f.halt()
	f.tls = right
	f.start()
	ctx := within(t)
	for {
		err := p.ProduceSync(ctx, &sluice.Record{Value: []byte("2")})
		if err == nil {
			break
		}
		if !errors.Is(err, sluice.ErrUntrusted) {
			t.Fatalf("produce: %v", err)
		}
	}
	for r, err := range c.Records(ctx) {
		if err == nil {
			if string(r.Value) != "2" {
				t.Errorf("read %q", r.Value)
			}
			break
		}
		if !errors.Is(err, sluice.ErrUntrusted) {
			t.Fatalf("consume: %v", err)
		}
	}
}

// A producer that has connected before keeps its records while certificates are wrong.
func TestAProducerOutlivesAWrongCertificate(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	right := f.tls
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic = "orders" })
	if err := p.ProduceSync(within(t), &sluice.Record{Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	bad, _ := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	f.halt()
	f.tls = &tls.Config{Certificates: []tls.Certificate{bad}}
	f.start()
	sent := p.Send(within(t), &sluice.Record{Value: []byte("2")})
	for until := time.Now().Add(20 * time.Second); p.Stats().Dialer.Failures < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("no dial failed: %+v", p.Stats())
		}
	}
	select {
	case <-sent.Done():
		_, err := sent.Wait(within(t))
		t.Fatalf("the record failed: %v", err)
	default:
	}
	f.halt()
	f.tls = right
	f.start()
	if _, err := sent.Wait(within(t)); err != nil {
		t.Error(err)
	}
}
