package quorum

import (
	"path/filepath"
	"time"

	"github.com/lni/vfs"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the settings of the shards of one controller.
type Config struct {
	// Directory of the metadata shards' Raft logs.
	Directory string `toml:"directory" default:"meta"` // small, but every change waits for a sync there
	// File that records how far these logs have got, so that logs that were truncated or
	// restored from an old copy are detected. Empty: the directory's name with ".guard"
	// appended. It may be on another disk; every change waits for a sync there too.
	Guard string `toml:"guard"`
	// Space reserved on the disk of the logs, for when others have filled it. 0: none.
	ReserveBytes int64 `toml:"reserve_bytes" default:"8Mi" range:"0..1Gi"` // a change takes some hundred bytes, a start some 100 KiB
	// Address on which this controller listens for other controllers, for instance ":9095".
	// Empty: a single node, which does not listen. It must be empty in this version, in which
	// a settings file cannot name the certificates that controllers need.
	RaftAddress string `toml:"raft_address"`
	// Number of shards that partitions and groups are distributed over. Fixed at the first
	// start.
	Shards int `toml:"shards" default:"16" range:"1..64"` // beside shard 0; bounded by the bits of machine.PrepareObject.Shards
	// Raft's tick. An idle node does a little work at each; a failed leader is detected after 5
	// to 10 of them.
	Tick time.Duration `toml:"tick_ms" default:"50ms" range:"1ms..1s"`
	// Changes a shard takes between two snapshots. Up to this many are replayed at a start.
	SnapshotEntries int `toml:"snapshot_entries" default:"8192" range:"16..16Mi"`
	// A snapshot is also taken after this many bytes of changes, or after the size of the last
	// snapshot if that is larger. It bounds the logs and the replay when changes are large.
	SnapshotBytes int64 `toml:"snapshot_bytes" default:"8Mi" range:"64Ki.."`
	// Timeout of a metadata change.
	Timeout time.Duration `toml:"change_timeout_ms" default:"10s" range:"1ms.."` // then it fails with meta.ErrUnavailable

	// ID is the controller's id, that of its node.
	ID int32
	// Others says how the other controllers are reached; it is needed with RaftAddress.
	Others *Others

	// Witness is a file that says, outside of Directory and Guard, how far the logs had got
	// when Attest was called last, so that both of them put back from an older copy are
	// noticed. Its directory need not be there before Attest. Empty: there is none.
	Witness string
	// AcceptLost has the node start although its logs lack what was acknowledged, and
	// go on without it. It is for one start.
	AcceptLost bool
	// Clock tells the time that goes into commands. nil is that of the system.
	Clock clock.Clock

	// Disk has the files of the Raft logs. nil is the real one.
	Disk vfs.FS

	spreadAfter time.Duration // how long nothing has changed before leadership is spread; 0: spreadAfter
}

func (c Config) disk() vfs.FS {
	if c.Disk == nil {
		return vfs.Default
	}
	return c.Disk
}

func (c Config) guardPath() string {
	if c.Guard == "" {
		return filepath.Clean(c.Directory) + ".guard"
	}
	return c.Guard
}

// Others says how a controller finds the others, and how they find it.
type Others struct {
	// Members are the ids and addresses of the cluster's controllers, this one among them. At
	// the very first start all of them must be there, and become its first members; later it is
	// only where to find others, and may name some of them. Empty: this controller alone.
	Members map[int32]string
	// Advertise is the address at which others reach RaftAddress. Empty: what Members says, or
	// RaftAddress.
	Advertise string
	// Internal proves to other controllers who this one is, and verifies them.
	Internal *certs.Internal
}

// clustered reports whether there are, or may be, other controllers.
func (c Config) clustered() bool { return c.RaftAddress != "" }

func (c Config) others() Others {
	if c.Others == nil {
		return Others{}
	}
	return *c.Others
}

// DefaultConfig returns the settings of a node alone.
func DefaultConfig(directory string) Config {
	c := setting.Default[Config]()
	c.Directory = directory
	return c
}

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require(c.Directory != "", "{directory} must name a directory")
	p.Address("raft_address", c.RaftAddress)
	p.Require(c.Timeout >= 10*c.Tick, "{change_timeout_ms} must be from %d, ten of {tick_ms}, on, not %d", (10 * c.Tick).Milliseconds(), c.Timeout.Milliseconds())
	return p.Err()
}
