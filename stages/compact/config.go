package compact

import (
	"fmt"
	"time"
)

// Config has the limits of compaction.
type Config struct {
	// Interval is the pause between two looks at all manifests.
	Interval time.Duration
	// BytesPerSecond bounds what is read from the store and written to it, together.
	// More compacts sooner and leaves less to producers and consumers.
	BytesPerSecond int64
	// MemoryBytes bounds the index of keys, what is read at once, and the batch in work.
	// With less, compaction by key takes more passes over the same objects, and leaves
	// batches alone that unpack to more than a tenth of it (or 2 MiB, if that is more).
	MemoryBytes int64
	// TargetBytes is how large objects are made.
	TargetBytes int64
	// MinObjects is how many neighbours are merged at least. More means fewer
	// rewrites of the same records, and more objects.
	MinObjects int
	// PrepareTTL is how long an object may be under way before it is given up.
	PrepareTTL time.Duration
	// Paused is whether to begin without doing anything.
	Paused bool
}

// DefaultConfig returns limits that suit a broker with 1 GiB of memory.
func DefaultConfig() Config {
	return Config{Interval: time.Minute, BytesPerSecond: 32 << 20, MemoryBytes: 64 << 20, TargetBytes: 128 << 20,
		MinObjects: 8, PrepareTTL: time.Hour}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Interval < leastInterval:
		return fmt.Errorf("compact: interval %s is below %s", c.Interval, leastInterval)
	case c.BytesPerSecond < leastRate:
		return fmt.Errorf("compact: %d bytes a second are below %d", c.BytesPerSecond, leastRate)
	case c.MemoryBytes < leastMemory:
		return fmt.Errorf("compact: memory of %d bytes is below 1 MiB", c.MemoryBytes)
	case c.TargetBytes < 1<<20:
		return fmt.Errorf("compact: objects of %d bytes are below 1 MiB", c.TargetBytes)
	case c.MinObjects < 4:
		return fmt.Errorf("compact: merges of %d objects; at least 4 are worth one", c.MinObjects)
	case c.PrepareTTL < time.Minute:
		return fmt.Errorf("compact: prepare time %s is below 1m", c.PrepareTTL)
	}
	return nil
}

const (
	leastInterval = 100 * time.Millisecond
	leastRate     = 16 << 10
	leastMemory   = 1 << 20
)
