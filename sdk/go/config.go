package sluice

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// Transport is the transport of the protocol.
type Transport string

const (
	// QUIC is the native transport: always TLS 1.3, one connection per broker.
	QUIC Transport = "quic"
	// TLS uses a TCP connection with TLS for each stream of requests.
	TLS Transport = "tls"
	// TCP is plaintext TCP, for loopback and networks secured by other means.
	TCP Transport = "tcp"
)

// Config says how to reach brokers. Its zero value connects over QUIC to a broker on this
// machine whose certificate is signed by one of the system's authorities.
type Config struct {
	// Brokers are the bootstrap brokers, HOST:PORT; the others are discovered through them.
	// Empty means 127.0.0.1:9092.
	Brokers []string
	// Transport is QUIC if empty.
	Transport Transport
	// ClientID identifies this client in the brokers' logs.
	ClientID string

	// CA holds the authorities that may sign broker certificates. If nil, CAFile (PEM) is read;
	// if that is empty, tls/ca.crt in DataDirectory, the data directory of a development
	// broker; if that is empty too, the system's authorities are used.
	CA            *x509.CertPool
	CAFile        string
	DataDirectory string
	// CertFile and KeyFile (PEM) authenticate this client to brokers that ask for a
	// certificate.
	CertFile, KeyFile string
	// ServerName is the name that broker certificates must have, instead of the dialed host.
	ServerName string

	// Connections is the number of QUIC connections to one broker that share its streams; 0
	// means 1. More connections raise throughput if both ends have spare cores.
	Connections int
	// DisableReceiveOffload keeps the kernel from coalescing QUIC datagrams (UDP_GRO on Linux),
	// for networks or drivers where that is broken.
	DisableReceiveOffload bool
	// DialTimeout limits the time to open one connection; 0 means 10 seconds.
	DialTimeout time.Duration
	// Options are passed to the kgo client after those derived from the other fields, which
	// they may override: hooks, SASL, a logger.
	Options []kgo.Opt
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	if !slices.Contains([]Transport{"", QUIC, TLS, TCP}, c.Transport) {
		return fmt.Errorf("transport %q is not known; use quic, tls or tcp", c.Transport)
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("broker %q must be HOST:PORT: %w", b, err)
		}
	}
	switch {
	case c.Connections < 0 || c.Connections > 64:
		return errors.New("from 1 to 64 connections to a broker are possible")
	case c.DialTimeout < 0:
		return errors.New("the dial timeout must not be negative")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if len(c.Brokers) == 0 {
		c.Brokers = []string{"127.0.0.1:9092"}
	}
	if c.Transport == "" {
		c.Transport = QUIC
	}
	if c.Connections == 0 {
		c.Connections = 1
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	return c
}

// tls returns the TLS settings, nil for plaintext.
func (c Config) tls() (*tls.Config, error) {
	if c.Transport == TCP {
		return nil, nil
	}
	file := c.CAFile
	if file == "" && c.DataDirectory != "" {
		file = filepath.Join(c.DataDirectory, "tls", "ca.crt")
	}
	if c.CA != nil {
		file = ""
	}
	t, err := certs.ClientConfig(file, c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	if c.CA != nil {
		t.RootCAs = c.CA
	}
	t.ServerName = c.ServerName
	if c.Transport == QUIC {
		t = quicnet.TLS(t)
	}
	return t, nil
}

// ClientOpts returns the options for a franz-go client (kgo.NewClient) that connects to brokers
// according to cfg. The connections are closed with the client. Options may be added; if
// several clients use the result, they share connections.
func ClientOpts(cfg Config) ([]kgo.Opt, error) {
	d, err := NewDialer(cfg)
	if err != nil {
		return nil, err
	}
	return d.clientOpts(), nil
}

func (d *Dialer) clientOpts() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(d.cfg.Brokers...), kgo.Dialer(d.DialContext), kgo.WithHooks(&lifetime{dialer: d})}
	if d.cfg.ClientID != "" {
		opts = append(opts, kgo.ClientID(d.cfg.ClientID))
	}
	return append(opts, d.cfg.Options...)
}
