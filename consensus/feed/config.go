package feed

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config configures the feed, on controllers and brokers.
type Config struct {
	// How long a broker may be silent before the controllers take its partitions away from it. Less
	// than three seconds takes them from brokers that are only short of CPU.
	Lease time.Duration `toml:"lease_ms" default:"3s" range:"100ms..1m"`
	// How long after its connections broke, as the end of a process does, a broker is given up. It
	// may reconnect in between.
	Grace time.Duration `toml:"grace_ms" default:"100ms" range:"1ms..1m"`
	// The pause before the second attempt to reach a controller; it doubles with each further
	// attempt up to reconnect_max_ms.
	ReconnectMin time.Duration `toml:"reconnect_min_ms" default:"20ms" range:"1ms..1m"`
	ReconnectMax time.Duration `toml:"reconnect_max_ms" default:"1s" range:"1ms..1m"`
	// Longest wait for the reply to a proposal or a read; then it fails with meta.ErrUnavailable.
	Timeout time.Duration `toml:"timeout_ms" default:"10s" range:"10ms..10m"`
}

// DefaultConfig returns the settings of a node without any.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require(c.Grace <= c.Lease, "{grace_ms} is above {lease_ms}; lower the one or raise the other")
	p.Require(c.ReconnectMin <= c.ReconnectMax, "{reconnect_min_ms} is above {reconnect_max_ms}; lower the one or raise the other")
	return p.Err()
}

// heartbeat is the interval of heartbeats.
func (c Config) heartbeat() time.Duration { return c.Lease / 6 }
