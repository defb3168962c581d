package peer

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config configures the streams between brokers.
type Config struct {
	// When the streams between brokers run without TLS: "loopback" (only between loopback
	// addresses), "never", or "everywhere", which lets anyone on the network path read and
	// modify all records.
	Plaintext Plaintext `toml:"plaintext" default:"loopback" oneof:"loopback|never|everywhere"`
	// Maximum bytes on the way to one follower, and not yet on its disk. Followers hold as much for
	// each leader. At 8 MiB, a follower that needs 10 ms for a write takes 800 MB/s.
	FollowerWindowBytes int64 `toml:"follower_window_bytes" default:"8Mi" range:"64Ki..1Gi"`
	// Records are sent in frames of at most this size, unless a batch is larger. Smaller frames
	// cost more CPU per byte, larger ones delay what comes after them.
	FrameBytes int `toml:"frame_bytes" default:"256Ki" range:"1Ki..16Mi"`
	// Largest frame accepted from a broker. It must exceed the largest request
	// (network.max_request_bytes) of every broker by 64 KiB.
	MaxFrameBytes int `toml:"max_frame_bytes" default:"72Mi" range:"17Mi..2147483647"`
	// How often brokers ping each other. Each ping measures the round trip.
	PingInterval time.Duration `toml:"ping_interval_ms" default:"250ms" range:"10ms..10s"`
	// A broker from which nothing has arrived for this long is disconnected. It must be well below the time
	// after which a follower that is behind leaves the ISR; shorter times disconnect brokers that
	// are only short of CPU.
	PingTimeout time.Duration `toml:"ping_timeout_ms" default:"2s" range:"50ms..1m"`
	// How long connecting to a broker may take, including TLS and the exchange of Hellos.
	ConnectTimeout time.Duration `toml:"connect_timeout_ms" default:"2s" range:"100ms..1m"`
	// The pause before the second attempt to reach a broker; it doubles with each further
	// attempt up to reconnect_max_ms. A broker that comes back ends it.
	ReconnectMin time.Duration `toml:"reconnect_min_ms" default:"20ms" range:"1ms..1m"`
	ReconnectMax time.Duration `toml:"reconnect_max_ms" default:"1s" range:"1ms..10m"`
}

// Plaintext says when streams go without TLS.
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
	p.Require(c.PingTimeout >= 4*c.PingInterval, "{ping_timeout_ms} must be at least four times {ping_interval_ms}, or one lost moment ends a stream")
	p.Require(c.ReconnectMin <= c.ReconnectMax, "{reconnect_min_ms} is above {reconnect_max_ms}; lower the one or raise the other")
	p.Require(int64(c.FrameBytes) <= c.FollowerWindowBytes, "{frame_bytes} is above {follower_window_bytes}; lower the one or raise the other")
	return p.Err()
}
