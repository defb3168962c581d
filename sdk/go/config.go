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

// Transport is what carries the protocol.
type Transport string

const (
	// QUIC is the native transport: always TLS 1.3, one connection a broker.
	QUIC Transport = "quic"
	// TLS is one TCP connection with TLS for each stream of requests.
	TLS Transport = "tls"
	// TCP is plaintext TCP, for loopback and networks that are secured otherwise.
	TCP Transport = "tcp"
)

// Config says how to reach brokers. Its zero value reaches a broker on this machine
// over QUIC, whose certificate an authority of the system has signed.
type Config struct {
	// Brokers are some brokers of the cluster, HOST:PORT; the others are learned
	// from them. Empty means 127.0.0.1:9092.
	Brokers []string
	// Transport is QUIC if empty.
	Transport Transport
	// ClientID is what brokers call this client in logs and quotas.
	ClientID string

	// CA has the authorities that may sign broker certificates. If it is nil,
	// CAFile (PEM) is read; if that is empty, tls/ca.crt in DataDirectory, which is
	// the data directory of a development broker; if that is empty too, the
	// authorities of the system are used.
	CA            *x509.CertPool
	CAFile        string
	DataDirectory string
	// CertFile and KeyFile (PEM) prove this client to brokers that ask for it.
	CertFile, KeyFile string
	// ServerName is what broker certificates must name instead of the host dialed.
	ServerName string

	// Connections is how many QUIC connections share the streams to one broker; 0
	// means 1. More raise the throughput where several cores are free on both ends.
	Connections int
	// DisableReceiveOffload keeps the kernel from coalescing the datagrams of QUIC
	// (Linux's UDP_GRO), for networks or drivers in which that is broken.
	DisableReceiveOffload bool
	// DialTimeout bounds the making of one connection; 0 means 10 seconds.
	DialTimeout time.Duration
	// Options go to the kgo client after those that are derived from the rest, which
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

// ClientOpts returns the options with which a franz-go client (kgo.NewClient)
// reaches brokers as cfg says. The connections are closed with the client. Options
// may be added; the result may be used for several clients, which then share their
// connections.
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
