package quicnet

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/quic-go/quic-go"
)

// ALPN is the protocol name in the TLS handshake.
const ALPN = "sluice-kafka/1"

// Config has the bounds of a QUIC connection. Both ends may differ in them.
type Config struct {
	// HandshakeTimeout bounds the handshake from the first packet.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection from which no packet came for so long. It is
	// also how long a client takes to give up a broker whose machine is gone.
	IdleTimeout time.Duration
	// KeepAlive is how often a client shows that it is there; at most half of
	// IdleTimeout. Servers do not ask.
	KeepAlive time.Duration
	// StreamWindowBytes and ConnectionWindowBytes bound the data received but not
	// read yet, of a stream and of a connection. Windows begin at a fraction of it
	// and grow where a round trip needs more.
	StreamWindowBytes, ConnectionWindowBytes int
	// ReceiveOffload lets the kernel coalesce datagrams where it can (Linux's UDP_GRO),
	// which takes 257 KiB of buffers for each socket.
	ReceiveOffload bool
}

// DefaultConfig returns windows that fill a link of 1 Gbit/s at 100 ms.
func DefaultConfig() Config {
	return Config{HandshakeTimeout: 5 * time.Second, IdleTimeout: 15 * time.Second, KeepAlive: 5 * time.Second,
		StreamWindowBytes: 8 << 20, ConnectionWindowBytes: 16 << 20, ReceiveOffload: true}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.HandshakeTimeout <= 0 || c.IdleTimeout <= 0:
		return errors.New("quic: handshake and idle timeout must be positive")
	case c.KeepAlive < 0 || c.KeepAlive > c.IdleTimeout/2:
		return errors.New("quic: keep-alive must be at most half of the idle timeout")
	case c.StreamWindowBytes < 64<<10:
		return errors.New("quic: a stream window needs at least 64 KiB")
	case c.ConnectionWindowBytes < c.StreamWindowBytes:
		return errors.New("quic: the connection window must not be smaller than that of one stream")
	}
	return nil
}

// initial windows: enough for a connection that does little, small enough to have
// thousands of them.
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

// Server returns the settings of an accepting end that lets a client have so many
// streams at once on a connection.
func (c Config) Server(streams int) *quic.Config {
	q := c.base()
	q.MaxIncomingStreams = int64(streams)
	return q
}

// Client returns the settings of a dialing end. Servers open no streams.
func (c Config) Client() *quic.Config {
	q := c.base()
	q.MaxIncomingStreams = -1
	q.KeepAlivePeriod = c.KeepAlive
	return q
}

// TLS returns t for use with QUIC: TLS 1.3 and this protocol only, also in settings
// that t has for some clients.
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
