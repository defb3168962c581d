package quicnet

import (
	"crypto/tls"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/internal/setting"
)

// ALPN is the protocol name in the TLS handshake.
const ALPN = "sluice-kafka/1"

// Config has the limits of a QUIC connection. The two ends may have different ones.
type Config struct {
	// The longest a QUIC handshake may take.
	HandshakeTimeout time.Duration `toml:"quic_handshake_timeout_ms" default:"5s" range:"1ms.."`
	// Closes a QUIC connection that has sent no packet for this long. Clients send one every
	// 5 s.
	IdleTimeout time.Duration `toml:"quic_idle_timeout_ms" default:"30s" range:"1s.."`
	// Maximum flow-control windows, per stream and per connection. Windows start small and
	// grow as the round-trip time requires: 8 MiB sustain 640 Mbit/s at 100 ms. Higher values
	// let clients fill more memory when the broker is slow.
	StreamWindowBytes     int `toml:"quic_stream_window_bytes" default:"8Mi" range:"64Ki..1Gi"`
	ConnectionWindowBytes int `toml:"quic_connection_window_bytes" default:"16Mi" range:"64Ki..1Gi"`
	// Lets the kernel coalesce datagrams on receive (UDP_GRO, Linux), which saves CPU time.
	// Set to false for drivers or networks where that is broken.
	ReceiveOffload bool `toml:"quic_receive_offload" default:"true"` // needs 257 KiB of buffers per socket

	// KeepAlive is the interval of a client's keep-alive packets, at most half of IdleTimeout.
	// Servers send none.
	KeepAlive time.Duration
}

// DefaultConfig returns the defaults of a server.
func DefaultConfig() Config { return setting.Default[Config]() }

// ClientConfig returns the defaults of a client. It detects a dead broker sooner than brokers
// detect a dead client.
func ClientConfig() Config {
	c := DefaultConfig()
	c.IdleTimeout, c.KeepAlive = 15*time.Second, 5*time.Second
	return c
}

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.NotBelow("quic_connection_window_bytes", int64(c.ConnectionWindowBytes), "quic_stream_window_bytes", int64(c.StreamWindowBytes))
	p.Require(c.KeepAlive >= 0 && c.KeepAlive <= c.IdleTimeout/2, "keep-alive must be at most half of {quic_idle_timeout_ms}")
	return p.Err()
}

// Initial windows: enough for a connection with little traffic, small enough for thousands of
// them.
const initialStream, initialConnection = 512 << 10, 768 << 10

func (c Config) base() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           c.HandshakeTimeout,
		MaxIdleTimeout:                 c.IdleTimeout,
		InitialStreamReceiveWindow:     min(initialStream, uint64(c.StreamWindowBytes)),
		MaxStreamReceiveWindow:         uint64(c.StreamWindowBytes),
		InitialConnectionReceiveWindow: min(initialConnection, uint64(c.ConnectionWindowBytes)),
		MaxConnectionReceiveWindow:     uint64(c.ConnectionWindowBytes),
		MaxIncomingUniStreams:          -1,
	}
}

// Server returns the settings of a server that allows a client this many concurrent streams on a
// connection.
func (c Config) Server(streams int) *quic.Config {
	q := c.base()
	q.MaxIncomingStreams = int64(streams)
	return q
}

// Client returns the settings of a client. Servers open no streams.
func (c Config) Client() *quic.Config {
	q := c.base()
	q.MaxIncomingStreams = -1
	q.KeepAlivePeriod = c.KeepAlive
	return q
}

// TLS returns a copy of t for QUIC: TLS 1.3 and this protocol only, also in the configurations
// that its GetConfigForClient returns.
func TLS(t *tls.Config) *tls.Config {
	t = t.Clone()
	t.MinVersion = tls.VersionTLS13
	t.NextProtos = []string{ALPN}
	if choose := t.GetConfigForClient; choose != nil {
		t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := choose(hello)
			if c != nil {
				c = TLS(c)
			}
			return c, err
		}
	}
	return t
}
