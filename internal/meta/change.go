package meta

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/topic"
)

// Errors of a metadata change. Test for them with errors.Is.
var (
	ErrTopicExists       = fault.Refused(kerr.TopicAlreadyExists, "topic exists")
	ErrUnknownTopic      = fault.Refused(kerr.UnknownTopicOrPartition, "unknown topic or partition")
	ErrUnknownBroker     = fault.Refused(kerr.InvalidReplicaAssignment, "unknown broker")
	ErrInvalidPartitions = fault.Refused(kerr.InvalidPartitions, "invalid number of partitions")
	ErrInvalidReplicas   = fault.Refused(kerr.InvalidReplicationFactor, "invalid replication factor")
	// ErrStaleIncarnation: a later process of the broker has registered, or it is unregistered.
	ErrStaleIncarnation = fault.Refused(kerr.StaleBrokerEpoch, "the broker is not registered with this incarnation")
	// ErrStaleSession: that session of the broker has ended, or another one has begun.
	ErrStaleSession = fault.Refused(kerr.StaleBrokerEpoch, "that session of the broker has ended")
	// ErrElectionNotNeeded: the partition has the wanted leader, or has one at all.
	ErrElectionNotNeeded = fault.Refused(kerr.ElectionNotNeeded, "no election is needed")
	// ErrPreferredUnavailable: the preferred leader is not a live member of the ISR.
	ErrPreferredUnavailable = fault.Refused(kerr.PreferredLeaderNotAvailable, "the preferred leader is not in sync")
	// ErrConflict: the change was based on state that is no longer current.
	ErrConflict = fault.Transient(kerr.NotController, "metadata changed meanwhile")
	// ErrUnavailable: no quorum responded in time; it is unknown whether the change
	// was made. It may be retried.
	ErrUnavailable = fault.Transient(kerr.RequestTimedOut, "metadata quorum is not available")
)

// TopicSpec describes a new topic. Names and configs have been validated.
type TopicSpec struct {
	Name        string
	ID          topic.ID
	Partitions  int32
	Replication int16
	Internal    bool
	Configs     map[string]string
}

// CommitPart adds one partition's range of an object to its manifest.
type CommitPart struct {
	Partition topic.Partition
	// Epoch is the leader epoch under which the records were uploaded.
	Epoch int32
	// Ref.Base must be the partition's TierEnd; otherwise the part is refused.
	Ref ObjectRef
	// Epochs and Producers describe the log up to Ref.End. The objects of new
	// sections must be prepared.
	Epochs    []EpochStart
	Producers Producers
}

// Replacement replaces ranges of objects by one range with the same offsets of a
// partition.
type Replacement struct {
	Epoch int32       // leader epoch at the time of the decision
	Old   []ObjectRef // adjacent in the manifest, in its order
	New   ObjectRef
	// CleanEnd raises the partition's CleanEnd; 0 leaves it unchanged.
	CleanEnd int64
}

// PartResult is the outcome of one CommitPart.
type PartResult struct {
	Partition topic.Partition
	Err       error // nil, ErrUnknownTopic or ErrConflict
}

// Election says which replica shall lead.
type Election byte

// The kinds of elections. The numbers are part of the format.
const (
	ElectPreferred Election = 0 // the first replica, if it is in sync
	ElectNamed     Election = 1 // a broker that is in sync
	// ElectUnclean makes a broker the leader of a partition that has none, although it may lack
	// committed records, which are then lost. Only an operator may ask for it.
	ElectUnclean Election = 2
)
