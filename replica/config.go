package replica

import (
	"time"

	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the times of replication.
type Config struct {
	// A follower that has been behind for this long leaves the ISR. Higher values keep a slow
	// follower in, and producers with acks=all waiting for it.
	LagTime time.Duration `toml:"lag_time_ms" default:"30s" range:"1s..1h"`
	// So does a follower that has been disconnected for this long.
	GoneTime time.Duration `toml:"gone_time_ms" default:"100ms" range:"0s..1m"`
	// How long a follower waits for the leader's answer before it asks again.
	HelloTime time.Duration `toml:"hello_time_ms" default:"1s" range:"10ms..1m"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }

func (c Config) protocol() replication.Config {
	return replication.Config{LagTime: c.LagTime, GoneTime: c.GoneTime, HelloTime: c.HelloTime}
}
