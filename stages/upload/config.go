package upload

import (
	"fmt"
	"time"
)

// Config has the limits of the uploader.
type Config struct {
	// SizeBytes of committed records make a cut. Larger means fewer, larger
	// objects and a longer WAL.
	SizeBytes int64
	// Interval is the longest a committed record waits for a cut.
	Interval time.Duration
	// OwnObjectBytes is how much of one partition in a cut gets an object of its
	// own, so that it is read back without its neighbours.
	OwnObjectBytes int64
	// Concurrency is how many objects of a cut are written at once.
	Concurrency int
	// ObjectMemory is what one of them takes of memory.
	ObjectMemory int64
	// PrepareTTL is how long an object may be under way before it is given up.
	PrepareTTL time.Duration
	// SweepInterval is the pause between two looks for objects that can be deleted. A
	// look costs the metadata a read of each shard.
	SweepInterval time.Duration
	// ProducerExpiration is how long an idle idempotent producer is kept in the
	// snapshots.
	ProducerExpiration time.Duration
	// SectionBytes is how large a snapshot of a partition's idempotent producers may
	// be. Merging two takes four times as much of memory.
	SectionBytes int64
}

// DefaultConfig returns 128 MiB or ten minutes.
func DefaultConfig() Config {
	return Config{SizeBytes: 128 << 20, Interval: 10 * time.Minute, OwnObjectBytes: 16 << 20, Concurrency: 4, ObjectMemory: 6 << 20,
		PrepareTTL: time.Hour, SweepInterval: time.Minute, ProducerExpiration: 24 * time.Hour, SectionBytes: 5 << 19}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.SizeBytes < 1<<20:
		return fmt.Errorf("upload: size of %d bytes is below 1 MiB", c.SizeBytes)
	case c.Interval < time.Second:
		return fmt.Errorf("upload: interval %s is below 1s", c.Interval)
	case c.OwnObjectBytes < 1<<20:
		return fmt.Errorf("upload: own object size of %d bytes is below 1 MiB", c.OwnObjectBytes)
	case c.Concurrency < 1:
		return fmt.Errorf("upload: concurrency %d is below 1", c.Concurrency)
	case c.PrepareTTL < time.Minute:
		return fmt.Errorf("upload: prepare time %s is below 1m", c.PrepareTTL)
	case c.SectionBytes < 4<<10:
		return fmt.Errorf("upload: sections of producers of %d bytes are below 4 KiB", c.SectionBytes)
	case c.SweepInterval < leastSweepInterval:
		return fmt.Errorf("upload: interval %s of looks for garbage is below %s", c.SweepInterval, leastSweepInterval)
	}
	return nil
}
