package quic

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// Config says where to listen and whom to let in.
type Config struct {
	Address string // host:port
	TLS     *tls.Config
	QUIC    quicnet.Config
	// Connections and ConnectionsPerIP bound the QUIC connections, in all and of
	// one client address, those in handshake included. 0 means no bound.
	Connections, ConnectionsPerIP int
	// Streams bounds the streams of a connection at once. A client waits until one
	// of its streams has ended to open another.
	Streams int
	// Memory is charged with connections, their windows and streams; nil means without
	// a limit.
	Memory *listener.Memory
	// UnusedTimeout closes a connection that has had no stream for so long, however
	// alive its client is; 0 means 5 minutes.
	UnusedTimeout time.Duration
	// NewConnections is how many may arrive in a second before clients must prove
	// their address, at the cost of a round trip; 0 means 100.
	NewConnections int
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Address == "":
		return errors.New("quic: no address to listen on")
	case c.TLS == nil:
		return errors.New("quic: TLS is always used; set a certificate")
	case c.Connections < 0 || c.ConnectionsPerIP < 0:
		return errors.New("quic: bounds on connections must not be negative")
	case c.Streams < 1:
		return errors.New("quic: at least one stream must be allowed on a connection")
	case c.UnusedTimeout < 0 || c.NewConnections < 0:
		return errors.New("quic: unused timeout and new connections must not be negative")
	}
	return c.QUIC.Validate()
}

func (c Config) withDefaults() Config {
	if c.UnusedTimeout == 0 {
		c.UnusedTimeout = 5 * time.Minute
	}
	if c.NewConnections == 0 {
		c.NewConnections = 100
	}
	return c
}

// lingerTime is how long a stream closed by the broker waits for its client to receive the last
// response.
const lingerTime = time.Second
