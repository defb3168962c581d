package consensus

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/lni/vfs"

	"github.com/sluicemq/sluice/internal/clock"
)

// Config has the settings of a node's part in the metadata.
type Config struct {
	// Directory is where the Raft logs and snapshots are. They are small, but
	// every change waits for a sync there.
	Directory string
	// Guard is the file that says how far the Raft logs have got. It belongs on
	// another disk than Directory, or at least outside of it. Empty: Directory with
	// ".guard" after it.
	Guard string
	// Witness is a file that says, outside of Directory and Guard, how far the logs had got
	// when Attest was called last, so that both of them put back from an older copy are
	// noticed. Its directory need not be there before Attest. Empty: there is none.
	Witness string
	// AcceptLost has the node start although its logs lack what was acknowledged, and
	// go on without it. It is for one start.
	AcceptLost bool
	// ReserveBytes is how much of the disk is kept for the metadata when others have
	// filled it; 0 is none. A change takes some hundred bytes, a start some 100 KiB.
	ReserveBytes int64
	// Shards is how many partition shards there are, besides shard 0. It is fixed
	// when the cluster is first started.
	Shards int
	// RaftAddress is the host:port on which other nodes reach this one. Empty: a
	// node alone, which listens nowhere. It is fixed when the node is first started.
	RaftAddress string
	// Tick is Raft's clock. An idle node does a little work every tick; a leader's
	// death is noticed after 5 to 10 of them.
	Tick time.Duration
	// SnapshotEntries is how many commands a shard takes between two snapshots,
	// after which the log before is dropped. So many are replayed at a start.
	SnapshotEntries int
	// SnapshotBytes is how many bytes of commands a shard takes at most between two
	// snapshots, or as many as the last one had if that is more. It bounds the logs on
	// disk and what is replayed at a start where commands are large.
	SnapshotBytes int64
	// Timeout is how long a change may take before it fails with
	// meta.ErrUnavailable.
	Timeout time.Duration
	// Grace is how long an object that nothing refers to any more is kept for
	// readers that still have its name.
	Grace time.Duration
	// ProducerExpiration is after how long snapshots of idempotent producers are
	// dropped in which nobody has written since; 0 keeps them.
	ProducerExpiration time.Duration
	// LatePutGrace is how long after the time of its prepare a PUT that was given up
	// may still get to the store. So long is a deleted object known, to be deleted once
	// more. It makes up for clocks that differ, too.
	LatePutGrace time.Duration
	// Clock tells the time that goes into commands.
	Clock clock.Clock

	// fs is the disk; nil is the real one.
	fs vfs.FS
}

func (c Config) disk() vfs.FS {
	if c.fs == nil {
		return vfs.Default
	}
	return c.fs
}

func (c Config) guardPath() string {
	if c.Guard == "" {
		return filepath.Clean(c.Directory) + ".guard"
	}
	return c.Guard
}

// DefaultConfig returns the settings of a node alone.
func DefaultConfig(directory string) Config {
	return Config{Directory: directory, ReserveBytes: 8 << 20, Shards: 16, Tick: 50 * time.Millisecond, SnapshotEntries: 8192, SnapshotBytes: 8 << 20,
		Timeout: 10 * time.Second, Grace: time.Minute, LatePutGrace: 24 * time.Hour, Clock: clock.System{}}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Directory == "":
		return errors.New("metadata: no directory")
	case c.Shards < 1 || c.Shards > maxShards:
		return fmt.Errorf("metadata: %d partition shards; from 1 to %d are possible", c.Shards, maxShards)
	case c.Tick < time.Millisecond || c.Tick > time.Second:
		return fmt.Errorf("metadata: a tick of %s; from 1ms to 1s are possible", c.Tick)
	case c.SnapshotEntries < 16:
		return fmt.Errorf("metadata: a snapshot every %d entries; at least 16 are needed", c.SnapshotEntries)
	case c.SnapshotBytes < 64<<10:
		return fmt.Errorf("metadata: a snapshot every %d bytes; at least 64 KiB are needed", c.SnapshotBytes)
	case c.Timeout < 10*c.Tick:
		return fmt.Errorf("metadata: a timeout of %s is below 10 ticks of %s", c.Timeout, c.Tick)
	case c.Grace < 0:
		return errors.New("metadata: the grace of garbage must not be negative")
	case c.LatePutGrace < 0:
		return errors.New("metadata: the grace of late PUTs must not be negative")
	case c.ReserveBytes < 0 || c.ReserveBytes > 1<<30:
		return fmt.Errorf("metadata: a reserve of %d bytes; from 0 to 1 GiB are possible", c.ReserveBytes)
	case c.Clock == nil:
		return errors.New("metadata: no clock")
	}
	return nil
}

// maxShards is bounded by the bits of machine.PrepareObject.Shards.
const maxShards = 64
