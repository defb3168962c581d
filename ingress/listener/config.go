package listener

import (
	"net"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config says where clients come in and how many of them.
type Config struct {
	// Address of the QUIC listener (UDP), which always uses TLS. Empty disables it.
	QUICListen string `toml:"quic_listen" default:"127.0.0.1:9092"`
	// Address of the TCP listener, for any Kafka client. Empty disables it.
	TCPListen string `toml:"tcp_listen" default:"127.0.0.1:9092"`
	// When the TCP listener runs without TLS: "loopback" (only if tcp_listen is a loopback
	// address), "never", or "everywhere", which lets anyone on the network path read and
	// modify all traffic.
	TCPPlaintext Plaintext `toml:"tcp_plaintext" default:"loopback" oneof:"loopback|never|everywhere"`
	// The address clients are told to connect to. Empty and 0 mean the listening address;
	// set these when that is 0.0.0.0 or the broker is behind NAT.
	AdvertisedHost string `toml:"advertised_host"`
	AdvertisedPort int32  `toml:"advertised_port" default:"0" range:"0..65535"`
	// Maximum concurrent connections per listener. Further ones are refused, as are those
	// beyond the process's limit on open files (TCP) and beyond memory.connection_bytes.
	// A client address that holds more than a quarter of them gets no more once three
	// quarters are in use.
	MaxConnections int `toml:"max_connections" default:"10000" range:"1.."`
	// The same per client address; 0 means no separate limit.
	MaxConnectionsPerIP int `toml:"max_connections_per_ip" default:"0" range:"0.."`
	// Maximum concurrent streams per QUIC connection; each carries one Kafka connection. A
	// client that wants more waits until one of its streams ends.
	MaxStreams int `toml:"max_streams_per_connection" default:"256" range:"1..1Mi"`
}

// Plaintext says when TCP goes without TLS.
type Plaintext string

// The values of Plaintext.
const (
	PlaintextLoopback   Plaintext = "loopback"
	PlaintextNever      Plaintext = "never"
	PlaintextEverywhere Plaintext = "everywhere"
)

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Address("quic_listen", c.QUICListen)
	p.Address("tcp_listen", c.TCPListen)
	p.Require(c.QUICListen != "" || c.TCPListen != "", "{quic_listen} and {tcp_listen} are both empty; set one, else no client can come in")
	return p.Err()
}

// PlaintextTCP says whether TCP goes without TLS.
func (c Config) PlaintextTCP() bool {
	return c.TCPPlaintext == PlaintextEverywhere || c.TCPPlaintext == PlaintextLoopback && IsLoopback(c.TCPListen)
}

// IsLoopback says whether an address to listen on can only be reached from this
// machine.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
