package compact

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of compaction.
type Config struct {
	// Starts with compaction paused. `sluice config set limits compact/compact paused=0`
	// resumes it, paused=1 pauses it again, even in the middle of a job.
	Paused bool `toml:"paused" live:"compact/compact"`
	// Interval between checks for objects that are worth rewriting.
	Interval time.Duration `toml:"check_interval_ms" default:"1m" range:"100ms.." live:"compact/plan"`
	// Bandwidth for reads from and writes to the object store together. Higher values compact
	// sooner and leave less for producers and consumers.
	BytesPerSecond int64 `toml:"bytes_per_second" default:"32Mi" range:"16Ki.." live:"compact/compact"`
	// Memory for the keys of a compacted topic, 48 to 96 bytes each, and for data being read.
	// With less, partitions with many keys take more passes.
	MemoryBytes int64 `toml:"memory_bytes" default:"40Mi" range:"1Mi.." live:"compact/compact"`
	// Target size of merged objects.
	TargetBytes int64 `toml:"target_size_bytes" default:"128Mi" range:"1Mi.."`
	// Minimum number of adjacent small objects to merge. Higher values mean fewer rewrites of
	// the same records, and more objects.
	MinObjects int `toml:"min_objects" default:"8" range:"4.." live:"compact/plan"`

	// PrepareTTL is how long an object may be under way before it is given up.
	PrepareTTL time.Duration
}

// DefaultConfig returns limits that suit a broker with 1 GiB of memory.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
