package wal

import (
	"fmt"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Durability says when a group counts as durable.
type Durability string

const (
	// Sync: an acknowledged group is on disk.
	Sync Durability = "sync"
	// Interval: an acknowledged group survives the death of the process, and the
	// loss of power once the next flush is over.
	Interval Durability = "interval"
)

// Config has the settings of the log.
type Config struct {
	// SegmentSizeBytes is the size of one file, and the unit in which room is
	// given back. A group that is larger gets a segment of its own.
	SegmentSizeBytes int64
	// CapacityBytes bounds all segments. When they are full producers wait for
	// uploads, so it is also how long the object store may be away. Groups so large
	// that two of them exceed it are written one at a time, beyond it if need be.
	CapacityBytes int64
	// Durability is Sync or Interval.
	Durability Durability
	// FlushInterval is the most that Interval may lose. Not used with Sync.
	FlushInterval time.Duration
	// Inflight is how many groups are written at once. More hide the latency of
	// a disk, up to what it does in parallel.
	Inflight int
	// IdleSeal is how long after the last group an empty one is written, which
	// states that the last is durable. Without it recovery cannot tell a last
	// group that went bad from one that was never finished.
	IdleSeal time.Duration
}

// DefaultConfig returns settings for a local NVMe disk.
func DefaultConfig() Config {
	return Config{SegmentSizeBytes: 128 << 20, CapacityBytes: 1 << 30, Durability: Sync,
		FlushInterval: 100 * time.Millisecond, Inflight: 16, IdleSeal: 100 * time.Millisecond}
}

const (
	minSegment = 64 << 10
	maxSegment = 1 << 30
)

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.SegmentSizeBytes < minSegment || c.SegmentSizeBytes > maxSegment || c.SegmentSizeBytes%blockfs.BlockSize != 0:
		return fmt.Errorf("wal: segment size %d is not a multiple of %d from %d to %d bytes",
			c.SegmentSizeBytes, blockfs.BlockSize, minSegment, maxSegment)
	case c.CapacityBytes < 2*c.SegmentSizeBytes:
		return fmt.Errorf("wal: capacity of %d bytes does not hold two segments of %d", c.CapacityBytes, c.SegmentSizeBytes)
	case c.Durability != Sync && c.Durability != Interval:
		return fmt.Errorf("wal: durability %q is neither %q nor %q", c.Durability, Sync, Interval)
	case c.FlushInterval < time.Millisecond || c.FlushInterval > time.Minute:
		return fmt.Errorf("wal: flush interval %s is outside 1ms..1m", c.FlushInterval)
	case c.Inflight < 1 || c.Inflight > 256:
		return fmt.Errorf("wal: %d writes in flight are outside 1..256", c.Inflight)
	case c.IdleSeal < time.Millisecond || c.IdleSeal > time.Minute:
		return fmt.Errorf("wal: idle seal %s is outside 1ms..1m", c.IdleSeal)
	}
	return nil
}
