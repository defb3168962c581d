package group

import (
	"time"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of consumer groups. Kafka's name of a setting is given
// where it has one.
type Config struct {
	// How long a new group waits for more members before it assigns partitions. 0 starts the
	// first consumer immediately and rebalances when the next one joins.
	InitialRebalanceDelay time.Duration `toml:"initial_rebalance_delay_ms" default:"3s" range:"0s..10m"` // group.initial.rebalance.delay.ms
	// Bounds on the session timeout a member may ask for: after that long without a heartbeat
	// its partitions go to other members.
	MinSessionTimeout time.Duration `toml:"min_session_timeout_ms" default:"6s" range:"1ms..24d"`  // group.min.session.timeout.ms
	MaxSessionTimeout time.Duration `toml:"max_session_timeout_ms" default:"30m" range:"1ms..24d"` // group.max.session.timeout.ms
	// Maximum groups, and members per group. Each uses memory. Beyond max_groups, a new group
	// replaces the group without members that has been unused longest, with its offsets; if
	// all groups have members, clients are told to retry.
	Groups  int `toml:"max_groups" default:"10000" range:"1.."`
	Members int `toml:"max_members" default:"5000" range:"1.."` // group.max.size
	// Maximum size of the members' metadata and assignments in one group, and the memory for
	// all groups including their offsets. One group uses at most half of it; beyond it groups
	// are removed as with max_groups.
	GroupBytes    int   `toml:"max_group_bytes" default:"4Mi" range:"4Ki..1Gi"` // written as one command
	MetadataBytes int64 `toml:"max_metadata_bytes" default:"48Mi" range:"64Ki.."`
	// Maximum size of the metadata string committed with an offset.
	OffsetMetadataBytes int `toml:"max_offset_metadata_bytes" default:"4Ki" range:"0.."` // offset.metadata.max.bytes
	// Maximum partitions with offsets per group.
	OffsetsPerGroup int `toml:"max_offsets" default:"200000" range:"1.."`
	// How long offsets are kept after the last member of a group has left, and how often
	// expired offsets are removed.
	OffsetsRetention     time.Duration `toml:"offsets_retention_ms" default:"7d" range:"1m.."`        // offsets.retention.minutes
	OffsetsCheckInterval time.Duration `toml:"offsets_check_interval_ms" default:"10m" range:"1ms.."` // offsets.retention.check.interval.ms
	// Goroutines that serve groups, and the requests that may queue for each. Beyond that
	// connections are not read. As many requests may wait for memory.
	Lanes int `toml:"lanes" default:"4" range:"1..1024"`
	Queue int `toml:"queue" default:"256" range:"1..64Ki"`
	// Maximum concurrent writes of group state. Further ones wait and are combined.
	Writes int `toml:"max_concurrent_writes" default:"64" range:"1..64Ki"`
	// How long a write may take before clients are told to retry.
	WriteTimeout time.Duration `toml:"write_timeout_ms" default:"5s" range:"1ms.."` // offsets.commit.timeout.ms
}

// DefaultConfig returns the defaults, Kafka's where it has them.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.NotBelow("max_session_timeout_ms", c.MaxSessionTimeout.Milliseconds(), "min_session_timeout_ms", c.MinSessionTimeout.Milliseconds())
	p.NotBelow("max_metadata_bytes", c.MetadataBytes, "max_group_bytes", int64(c.GroupBytes))
	return p.Err()
}

func (c Config) limits() rebalance.Limits {
	return rebalance.Limits{InitialDelay: c.InitialRebalanceDelay, MinSession: c.MinSessionTimeout, MaxSession: c.MaxSessionTimeout,
		Members: c.Members, Bytes: int(min(int64(c.GroupBytes), c.share()/copies))}
}
