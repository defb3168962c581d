package lookup

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

var (
	// ErrUnknownID: no topic has that ID; the topic may have been deleted and
	// recreated with the same name.
	ErrUnknownID = fault.Refused(kerr.UnknownTopicID, "unknown topic id")
	// ErrNotLeader: the partition exists, but another broker leads it.
	ErrNotLeader = fault.Transient(kerr.NotLeaderForPartition, "this broker does not lead the partition")
	// ErrFencedEpoch: the client's leader epoch is older than the partition's.
	ErrFencedEpoch = fault.Transient(kerr.FencedLeaderEpoch, "leader epoch is fenced")
	// ErrUnknownEpoch: the client knows a newer leader epoch than this broker.
	ErrUnknownEpoch = fault.Transient(kerr.UnknownLeaderEpoch, "leader epoch is not known here yet")
)

// NoEpoch is sent by clients that do not know a partition's leader epoch.
const NoEpoch = -1

// Metadata publishes snapshots of the cluster's metadata.
type Metadata interface {
	View() *meta.View
}

// Partitions holds the states of the partitions of which this broker is a replica.
type Partitions interface {
	Get(topic.Partition) (*partition.State, bool)
}

// Lookup finds topics and partitions.
type Lookup struct {
	metadata   Metadata
	partitions Partitions
}

// New returns a Lookup.
func New(m Metadata, p Partitions) *Lookup { return &Lookup{m, p} }

// View returns the newest snapshot. A request should use a single one.
func (l *Lookup) View() *meta.View { return l.metadata.View() }

// ByName returns the topic with that name, or meta.ErrUnknownTopic.
func ByName(v *meta.View, name string) (*meta.Topic, error) {
	if t, ok := v.TopicByName(name); ok {
		return t, nil
	}
	return nil, meta.ErrUnknownTopic
}

// ByID returns the topic with that id, or ErrUnknownID.
func ByID(v *meta.View, id topic.ID) (*meta.Topic, error) {
	if t, ok := v.TopicByID(id); ok {
		return t, nil
	}
	return nil, ErrUnknownID
}

// Partition returns the state of one partition of t that this broker leads,
// meta.ErrUnknownTopic when t has no such partition, or ErrNotLeader.
func (l *Lookup) Partition(t *meta.Topic, index int32) (*partition.State, error) {
	if index < 0 || int(index) >= len(t.Partitions) {
		return nil, meta.ErrUnknownTopic
	}
	if s, ok := l.partitions.Get(topic.Partition{Topic: t.ID, Index: index}); ok && s.Leads() && !s.Deleted() {
		return s, nil
	}
	return nil, ErrNotLeader
}

// CheckEpoch compares the client's leader epoch with that of s (KIP-320). NoEpoch
// always passes.
func CheckEpoch(s *partition.State, epoch int32) error {
	switch current := s.Epoch(); {
	case epoch == NoEpoch || epoch == current:
		return nil
	case epoch < current:
		return ErrFencedEpoch
	default:
		return ErrUnknownEpoch
	}
}
