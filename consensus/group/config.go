package group

import (
	"errors"
	"time"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
)

// Config has the limits of consumer groups. Kafka's name of a setting is given
// where it has one.
type Config struct {
	// InitialRebalanceDelay is how long an empty group waits for more members
	// after its first (group.initial.rebalance.delay.ms). Longer means fewer
	// rebalances when many start at once; 0 suits development.
	InitialRebalanceDelay time.Duration
	// MinSessionTimeout and MaxSessionTimeout bound what members may ask for
	// (group.min.session.timeout.ms, group.max.session.timeout.ms).
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// Groups bounds the groups, also those that only have offsets. For a further one
	// the group without members that was unused the longest is removed; where all have
	// members it is refused.
	Groups int
	// Members bounds the members of one group (group.max.size).
	Members int
	// GroupBytes bounds the metadata and assignments of one group's members, which
	// are written as one command. MetadataBytes bounds what all groups take in memory,
	// offsets too, as Groups bounds their number; one group takes half of it at most.
	GroupBytes    int
	MetadataBytes int64
	// OffsetMetadataBytes bounds the text kept with one offset
	// (offset.metadata.max.bytes).
	OffsetMetadataBytes int
	// OffsetsPerGroup bounds the partitions for which one group has offsets.
	OffsetsPerGroup int
	// OffsetsRetention is how long offsets are kept after their group became
	// empty, or after the commit where the group never had members
	// (offsets.retention.minutes).
	OffsetsRetention time.Duration
	// SweepInterval is how often expired offsets are looked for
	// (offsets.retention.check.interval.ms).
	SweepInterval time.Duration
	// Lanes is over how many goroutines groups are spread; Queue is how many
	// requests may wait for one of them before connections are not read any more, and
	// how many may wait for room before further ones are refused.
	Lanes, Queue int
	// Writes bounds the groups whose state is being written at once. More wait,
	// and gather more into one write.
	Writes int
	// WriteTimeout bounds one write (offsets.commit.timeout.ms). Then clients are
	// told to try again.
	WriteTimeout time.Duration
}

// DefaultConfig returns the defaults of a cluster, Kafka's where it has them.
func DefaultConfig() Config {
	return Config{InitialRebalanceDelay: 3 * time.Second, MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute,
		Groups: 10_000, Members: 5000, GroupBytes: 4 << 20, MetadataBytes: 64 << 20,
		OffsetMetadataBytes: 4096, OffsetsPerGroup: 200_000, OffsetsRetention: 7 * 24 * time.Hour, SweepInterval: 10 * time.Minute,
		Lanes: 4, Queue: 256, Writes: 64, WriteTimeout: 5 * time.Second}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.InitialRebalanceDelay < 0:
		return errors.New("group: the initial rebalance delay must not be negative; 0 turns it off")
	case c.MinSessionTimeout <= 0 || c.MaxSessionTimeout < c.MinSessionTimeout:
		return errors.New("group: the least session timeout must be positive and not above the longest")
	case c.MaxSessionTimeout > 24*24*time.Hour:
		return errors.New("group: the longest session timeout must be at most 24 days")
	case c.Groups < 1 || c.Members < 1 || c.OffsetsPerGroup < 1:
		return errors.New("group: groups, members and offsets per group must be at least 1")
	case c.GroupBytes < 4<<10 || c.MetadataBytes < int64(c.GroupBytes) || c.MetadataBytes < 64<<10:
		return errors.New("group: a group needs at least 4 KiB of metadata, all groups together room for one such and at least 64 KiB")
	case c.OffsetMetadataBytes < 0:
		return errors.New("group: offset metadata bytes must not be negative; 0 allows none")
	case c.OffsetsRetention <= 0 || c.SweepInterval <= 0 || c.WriteTimeout <= 0:
		return errors.New("group: offsets retention, sweep interval and write timeout must be positive")
	case c.Lanes < 1 || c.Lanes > 1024 || c.Queue < 1 || c.Writes < 1:
		return errors.New("group: from 1 to 1024 lanes are possible, with a queue of at least 1 and at least 1 write at once")
	}
	return nil
}

func (c Config) limits() rebalance.Limits {
	return rebalance.Limits{InitialDelay: c.InitialRebalanceDelay, MinSession: c.MinSessionTimeout, MaxSession: c.MaxSessionTimeout,
		Members: c.Members, Bytes: int(min(int64(c.GroupBytes), c.share()/copies))}
}
