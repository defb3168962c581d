package sluice

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Start is where to start in a partition without a committed offset.
type Start string

const (
	// Earliest is the first available record.
	Earliest Start = "earliest"
	// Latest is the end: only what is produced from now on.
	Latest Start = "latest"
)

// ConsumerConfig says what to read, and how.
type ConsumerConfig struct {
	// Topics are read entirely, or shared with the other members of Group.
	Topics []string
	// Group is the consumer group to join. It needs Topics.
	Group string
	// InstanceID makes the consumer a static member of the group (KIP-345): it keeps its
	// partitions over a restart, and Close does not leave the group.
	InstanceID string
	// Partitions are the partitions to read without a group, by topic; use it instead of
	// Topics.
	Partitions map[string][]int32
	// Start is Earliest if empty.
	Start Start

	// CommitInterval is how often marked records are committed in the background; 0 means only
	// by Commit, before partitions are revoked, and by Close.
	CommitInterval time.Duration
	// ManualMarks makes Mark the only way to mark records as processed. Otherwise a record is
	// marked when the loop over Records asks for the next one.
	ManualMarks bool
	// SessionTimeout is how long a member may be silent before it loses its partitions.
	SessionTimeout time.Duration

	// MaxWait and MinBytes let a broker delay a response until it is worth sending; MaxBytes
	// and PartitionBytes limit its size.
	MaxWait                            time.Duration
	MinBytes, MaxBytes, PartitionBytes int
	// PollRecords limits the records taken from the client at a time.
	PollRecords int
}

// DefaultConsumerConfig returns defaults that suit most consumers.
func DefaultConsumerConfig() ConsumerConfig {
	return ConsumerConfig{Start: Earliest, CommitInterval: 5 * time.Second, SessionTimeout: 45 * time.Second,
		MaxWait: 5 * time.Second, MinBytes: 1, MaxBytes: 50 << 20, PartitionBytes: 1 << 20, PollRecords: 10_000}
}

// Validate reports a setting that cannot work.
func (c ConsumerConfig) Validate() error {
	switch {
	case len(c.Topics) == 0 && len(c.Partitions) == 0:
		return errors.New("there is nothing to consume: set Topics or Partitions")
	case len(c.Topics) > 0 && len(c.Partitions) > 0:
		return errors.New("set either Topics or Partitions, not both")
	case c.Group != "" && len(c.Topics) == 0:
		return errors.New("a group shares whole topics; set Topics, or consume Partitions without a group")
	case c.InstanceID != "" && c.Group == "":
		return errors.New("an instance id is for members of a group; set Group")
	case c.Start != "" && c.Start != Earliest && c.Start != Latest:
		return fmt.Errorf("start %q is not known; use earliest or latest", c.Start)
	case c.CommitInterval < 0 || c.SessionTimeout <= 0 || c.MaxWait <= 0:
		return errors.New("session timeout and max wait must be positive, the commit interval not negative")
	case c.MinBytes < 1 || c.MaxBytes < c.MinBytes || c.PartitionBytes < 1 || c.PollRecords < 1:
		return errors.New("bytes and records of an answer must be positive, and MaxBytes at least MinBytes")
	case c.MaxBytes > 1<<30 || c.PartitionBytes > 1<<30:
		return errors.New("an answer can have at most 1 GiB")
	}
	return nil
}

// neverCommits is an interval longer than any process runs.
const neverCommits = 365 * 24 * time.Hour

func (c ConsumerConfig) opts() []kgo.Opt {
	start := kgo.NewOffset().AtStart()
	if c.Start == Latest {
		start = kgo.NewOffset().AtEnd()
	}
	o := []kgo.Opt{kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start), kgo.FetchMaxWait(c.MaxWait), kgo.FetchMinBytes(int32(c.MinBytes)),
		kgo.FetchMaxBytes(int32(c.MaxBytes)), kgo.FetchMaxPartitionBytes(int32(c.PartitionBytes))}
	if len(c.Partitions) > 0 {
		at := make(map[string]map[int32]kgo.Offset)
		for topic, ps := range c.Partitions {
			at[topic] = make(map[int32]kgo.Offset)
			for _, p := range ps {
				at[topic][p] = start
			}
		}
		return append(o, kgo.ConsumePartitions(at))
	}
	o = append(o, kgo.ConsumeTopics(c.Topics...))
	if c.Group == "" {
		return o
	}
	interval := c.CommitInterval
	if interval == 0 {
		interval = neverCommits
	}
	o = append(o, kgo.ConsumerGroup(c.Group), kgo.SessionTimeout(c.SessionTimeout), kgo.AutoCommitMarks(), kgo.AutoCommitInterval(interval))
	if c.InstanceID != "" {
		o = append(o, kgo.InstanceID(c.InstanceID))
	}
	return o
}
