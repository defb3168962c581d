package wal

import (
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/setting"
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
	// Size of a segment file, the unit in which space is reclaimed. A multiple of 4096.
	SegmentSizeBytes int64 `toml:"segment_size_bytes" default:"128Mi" range:"64Ki..1Gi"`
	// Total size of all segments. When the log is full producers wait for uploads, so this
	// determines how long an outage of the object store can be absorbed.
	CapacityBytes int64 `toml:"capacity_bytes" default:"1Gi" range:"128Ki..16Ti"`
	// true: acknowledged means on disk. false: acknowledged records survive a crash of the
	// process, but a power failure can lose up to flush_interval_ms of them.
	FsyncOnWrite bool `toml:"fsync_on_write" default:"true"`
	// How often data is flushed to disk when fsync_on_write is false.
	FlushInterval time.Duration `toml:"flush_interval_ms" default:"100ms" range:"1ms..1m"`
	// Maximum writes in flight. Higher values hide disk latency, up to the device's
	// parallelism.
	Inflight int `toml:"writes_in_flight" default:"16" range:"1..256"`
	// How long after the last write the log is sealed with an empty one. Until then recovery
	// cannot tell a damaged last write from an unfinished one.
	IdleSeal time.Duration `toml:"idle_seal_ms" default:"100ms" range:"1ms..1m"`
}

// DefaultConfig returns settings for a local NVMe disk.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require(c.SegmentSizeBytes%blockfs.BlockSize == 0, "{segment_size_bytes} must be a multiple of %d, not %d", blockfs.BlockSize, c.SegmentSizeBytes)
	p.Require(c.CapacityBytes/2 >= c.SegmentSizeBytes, "{capacity_bytes} (%d) must hold at least two segments of {segment_size_bytes} (%d)",
		c.CapacityBytes, c.SegmentSizeBytes)
	return p.Err()
}

func (c Config) durability() Durability {
	if c.FsyncOnWrite {
		return Sync
	}
	return Interval
}
