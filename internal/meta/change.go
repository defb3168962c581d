package meta

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/topic"
)

// Errors of a change to the metadata. Test for them with errors.Is.
var (
	ErrTopicExists       = fault.Refused(kerr.TopicAlreadyExists, "topic exists")
	ErrUnknownTopic      = fault.Refused(kerr.UnknownTopicOrPartition, "unknown topic or partition")
	ErrUnknownBroker     = fault.Refused(kerr.InvalidReplicaAssignment, "unknown broker")
	ErrInvalidPartitions = fault.Refused(kerr.InvalidPartitions, "invalid number of partitions")
	ErrInvalidReplicas   = fault.Refused(kerr.InvalidReplicationFactor, "invalid replication factor")
	// ErrConflict: the change was based on state that is no longer current.
	ErrConflict = fault.Transient(kerr.NotController, "metadata changed meanwhile")
	// ErrUnavailable: no quorum answered in time; whether the change was made is
	// not known. It may be tried again.
	ErrUnavailable = fault.Transient(kerr.RequestTimedOut, "metadata quorum is not available")
)

// TopicSpec asks for a new topic. Names and configs were validated before.
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
	// Ref.Base must be the partition's TierEnd; else the part is refused.
	Ref ObjectRef
	// Epochs and Producers describe the log up to Ref.End. The objects of sections that
	// the partition has not yet must be prepared.
	Epochs    []EpochStart
	Producers Producers
}

// Replacement puts one range of an object in the place of others that hold the same
// offsets of a partition.
type Replacement struct {
	Epoch int32       // leader epoch under which it was decided
	Old   []ObjectRef // adjacent in the manifest, in its order
	New   ObjectRef
	// CleanEnd raises the partition's; 0 leaves it as it is.
	CleanEnd int64
}

// PartResult tells what became of one CommitPart.
type PartResult struct {
	Partition topic.Partition
	Err       error // nil, ErrUnknownTopic or ErrConflict
}
