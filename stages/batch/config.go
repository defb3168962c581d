package batch

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of the stage; all settings can be changed while it runs.
type Config struct {
	// With fewer writes in flight than this, the next one starts immediately. Higher values
	// mean earlier acknowledgements at half load, and more, smaller writes.
	EagerGroups int64 `toml:"eager_groups" default:"4" range:"1..1Mi" live:"write/batch"`
	// Otherwise the longest a write waits for more requests. Higher values mean fewer, larger
	// writes and later acknowledgements.
	Linger time.Duration `toml:"linger_us" default:"1ms" range:"0s..1s" live:"write/batch"`
	// A write of this size does not wait any longer.
	TargetBytes int64 `toml:"target_bytes" default:"256Ki" range:"1.." live:"write/batch"`
	// Maximum size of a write. A larger request becomes a write of its own.
	MaxBytes int64 `toml:"max_bytes" default:"1Mi" range:"1.." live:"write/batch"`

	// ImageBytes is the most that the image of a group of several Writes takes, whatever
	// MaxBytes says: what there is memory for. 0: any size.
	ImageBytes int64
}

// DefaultConfig returns limits measured to fit NVMe disks.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.NotBelow("max_bytes", c.MaxBytes, "target_bytes", c.TargetBytes)
	return p.Err()
}
