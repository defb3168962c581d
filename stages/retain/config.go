package retain

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of retention.
type Config struct {
	// Interval between retention checks (retention.ms and retention.bytes of each topic).
	// Records may be kept longer by up to this much.
	Interval time.Duration `toml:"check_interval_ms" default:"5m" range:"100ms.." live:"retain/plan"`
	// Maximum log truncations per second. Each is a metadata change.
	ChangesPerSecond int `toml:"changes_per_second" default:"100" range:"1..100000"`
}

// DefaultConfig returns the defaults, Kafka's where it has them.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
