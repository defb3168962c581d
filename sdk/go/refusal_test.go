package sluice_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

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
	// TLS names the authorities that the broker accepts; a client shows its certificate even if
	// that has another issuer.
	named := t.TempDir()
	if _, _, err := certs.Init(named, "another authority", time.Hour); err != nil {
		t.Fatal(err)
	}
	stranger, err := certs.Issue(named, "app", t.TempDir())
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
		{"of an authority with another name", func(c *sluice.Config) { c.CertFile, c.KeyFile = stranger.Cert, stranger.Key }, sluice.ErrCertificateRefused, "signed"},
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
				t.Errorf("the error took %v", d)
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

// The same clients over the other transports, and their errors.
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
