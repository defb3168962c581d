package machine

import (
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// Command is one change of a state machine.
type Command interface {
	kind() byte
	layout(*coder)
}

// Encode encodes a command for the log.
func Encode(cmd Command) []byte {
	c, kind := begin(Version), cmd.kind()
	c.byte(&kind)
	cmd.layout(c)
	return c.buf
}

// CheckVersion returns nil if this build reads the version of a command, or ErrVersion.
func CheckVersion(cmd []byte) error { return open(cmd, Version, Version).err }

// Decode decodes a command. It retains nothing of b.
func Decode(b []byte) (Command, error) {
	c := open(b, Version, Version)
	var kind byte
	c.byte(&kind)
	if c.err != nil {
		return nil, c.err
	}
	cmd := blank(kind)
	if cmd == nil {
		return nil, fmt.Errorf("%w: command %d", ErrVersion, kind)
	}
	cmd.layout(c)
	return cmd, c.end()
}

// blank returns an empty command of a kind; the numbers are part of the format.
func blank(kind byte) Command {
	for _, cmd := range [...]Command{&InitCluster{}, &RegisterBroker{}, &BeginTopic{}, &GrowTopic{}, &FinishTopic{},
		&AlterTopic{}, &DeleteTopic{}, &ForgetTopic{}, &AllocateIDs{}, &EnsurePartitions{}, &StartBroker{}, &SetLogStart{},
		&PrepareObject{}, &CommitParts{}, &ExpireObjects{}, &CollectObjects{}, &DropTopic{}, &ChangeGroup{}, &TrimLog{}, &ReplaceObjects{}, &MarkDeleted{}, &ExpireProducers{}, &RecordWAL{}, &RecordClaim{}, &RecordWALStart{},
		&LoseReplicas{}, &AlterISR{}, &ElectLeaders{}, &SetMinISR{}, &Reassign{}, &AcquireCoordinator{}, &ReadyBroker{}, &FenceBroker{}, &DrainBroker{},
		&UnregisterBroker{}, &DecommissionBroker{}, &RecordThrottle{}, &RecordController{}, &ForgetController{}, &RaiseFeature{}, &SettleTopic{}, &RecordLoss{}} {
		if cmd.kind() == kind {
			return cmd
		}
	}
	return nil
}

// Commands of Root.
type (
	// InitCluster names the cluster and fixes its number of partition shards. Repeating it
	// changes nothing.
	InitCluster struct {
		ClusterID string
		Shards    int32
	}
	// RegisterBroker records the start of a broker process, if After is the last incarnation of the
	// broker. Result.Number is its new incarnation; that of the process, if it is registered already.
	RegisterBroker struct {
		Broker meta.Broker
		After  uint64
	}
	// BeginTopic reserves the name; the topic exists once FinishTopic is applied.
	BeginTopic struct{ Spec meta.TopicSpec }
	// GrowTopic sets the new number of partitions; again FinishTopic completes it.
	GrowTopic struct {
		ID         topic.ID
		Partitions int32
	}
	// FinishTopic records that the partitions below Partitions exist in their shards, with the
	// min.insync.replicas of Revision.
	FinishTopic struct {
		ID         topic.ID
		Partitions int32
		Revision   uint64
	}
	// AlterTopic sets and deletes configs.
	AlterTopic struct {
		ID  topic.ID
		Set map[string]string
		Del []string
	}
	// SettleTopic records that the shards have the min.insync.replicas of a revision.
	SettleTopic struct {
		ID       topic.ID
		Revision uint64
	}
	// DeleteTopic leaves a tombstone and frees the name.
	DeleteTopic struct{ ID topic.ID }
	// ForgetTopic removes the tombstone.
	ForgetTopic struct{ ID topic.ID }
	// RecordWAL records which WAL a broker writes from now on.
	RecordWAL struct{ WAL meta.WAL }
	// RecordWALStart records which process of a broker was the last to take over its WAL.
	RecordWALStart struct{ Start meta.WALStart }
	// RecordClaim records which process of a broker is about to claim the object store.
	RecordClaim struct{ Claim meta.Claim }
	// UnregisterBroker forgets a fenced broker.
	UnregisterBroker struct{ Broker int32 }
	// DecommissionBroker keeps new replicas off a broker, or allows them again.
	DecommissionBroker struct {
		Broker int32
		On     bool
	}
	// RecordThrottle records how far a broker is from its limits.
	RecordThrottle struct{ Throttle meta.Throttle }
	// RecordController records where a controller is reached.
	RecordController struct{ Controller meta.Controller }
	// ForgetController removes a controller.
	ForgetController struct{ ID int32 }
	// RaiseFeature raises the cluster's feature level; a lower one changes nothing.
	RaiseFeature struct{ Level int32 }
	// RecordLoss records that shard 0 goes on without changes that it has lost.
	RecordLoss struct{}
	// AllocateIDs reserves Count producer ids; Result.Number is the first.
	AllocateIDs struct{ Count int32 }
)

// Commands of Shard.
type (
	// EnsurePartitions creates those partitions of a topic that do not exist.
	EnsurePartitions struct {
		Topic  topic.ID
		MinISR MinISR
		Parts  []NewPartition
	}
	// StartBroker makes an incarnation of a broker the current one and fences the one before.
	StartBroker struct {
		Broker      int32
		Incarnation uint64
	}
	// LoseReplicas says that replicas of a broker lost a part of their log; All: all of them. It is
	// said before the broker is live in a session.
	LoseReplicas struct {
		Broker      int32
		Incarnation uint64
		Session     uint64
		All         bool
		Partitions  []topic.Partition
	}
	// AlterISR has leaders' proposals of ISRs. Result.Parts has the result of each.
	AlterISR struct{ Items []ISRItem }
	// ElectLeaders changes leaders on request. Result.Parts has the result of each.
	ElectLeaders struct {
		Kind  meta.Election
		Items []ElectItem
	}
	// SetMinISR applies min.insync.replicas to the partitions of a topic.
	SetMinISR struct {
		Topic  topic.ID
		MinISR MinISR
	}
	// Reassign moves partitions to other replicas (KIP-455). Result.Parts has the result of each.
	Reassign struct{ Items []ReassignItem }
	// AcquireCoordinator takes the lease on the shard's groups if After is its last epoch.
	// Result.Number is the new epoch.
	AcquireCoordinator struct {
		Broker      int32
		Incarnation uint64
		After       int32
	}
	// SetLogStart raises a partition's log start.
	SetLogStart struct {
		Partition topic.Partition
		Offset    int64
		NowMs     int64
	}
	// PrepareObject announces an object that may be committed until ExpiryMs.
	PrepareObject struct {
		ID       meta.ObjectID
		Shards   uint64 // bit i: shard i has partitions of the object
		ExpiryMs int64
	}
	// CommitParts adds ranges of an object to manifests. Result.Parts is the result of each
	// part.
	CommitParts struct {
		ID    meta.ObjectID
		NowMs int64
		Parts []meta.CommitPart
	}
	// ExpireObjects marks objects dead that were prepared and not committed in time.
	ExpireObjects struct{ NowMs int64 }
	// ExpireProducers drops producer sections in which every producer is idle since before
	// BeforeMs.
	ExpireProducers struct{ BeforeMs, NowMs int64 }
	// CollectObjects forgets unreferenced objects after they were deleted.
	CollectObjects struct{ IDs []meta.ObjectID }
	// MarkDeleted marks unreferenced objects as deleted although a PUT in progress may bring
	// them back.
	MarkDeleted struct{ IDs []meta.ObjectID }
	// DropTopic removes a topic's partitions and the offsets committed for them.
	DropTopic struct {
		Topic topic.ID
		NowMs int64
	}
	// TrimLog raises a partition's log start to the end of one of its objects, or to an offset
	// at or above its tier end, if Epoch is its leader epoch.
	TrimLog struct {
		Partition topic.Partition
		Epoch     int32
		Offset    int64
		NowMs     int64
	}
	// ReplaceObjects replaces adjacent ranges by one range of a prepared object that holds the
	// same offsets.
	ReplaceObjects struct {
		Partition topic.Partition
		Epoch     int32
		Old       []meta.ObjectRef
		New       meta.ObjectRef
		CleanEnd  int64 // raises the partition's; 0: unchanged
		NowMs     int64
	}
	// ChangeGroup is one change of a consumer group by its coordinator of an epoch.
	ChangeGroup struct {
		Name   string
		Epoch  int32
		Change meta.GroupChange
	}
)

// Commands of both.
type (
	// ReadyBroker makes the current incarnation of a broker live, in a session that has not ended.
	// Shard 0 has its number.
	ReadyBroker struct {
		Broker      int32
		Incarnation uint64
		Session     uint64
	}
	// FenceBroker ends a session of the current incarnation, and those before it. The next one has
	// the number after it.
	FenceBroker struct {
		Broker      int32
		Incarnation uint64
		Session     uint64
	}
	// DrainBroker hands over what a broker leads and coordinates, until it is ready or starts
	// again.
	DrainBroker struct {
		Broker      int32
		Incarnation uint64
	}
)

// ISRItem is a leader's proposal for one partition.
type ISRItem struct {
	Partition topic.Partition
	Change    replication.ISRChange
}

// ElectItem is a partition that shall have another leader. ElectPreferred ignores To.
type ElectItem struct {
	Partition topic.Partition
	To        int32
}

// ReassignItem is a partition that shall have other replicas, the preferred leader first. No
// target cancels a move.
type ReassignItem struct {
	Partition topic.Partition
	Target    []int32
}

// NewPartition is the initial state of a partition. The first live replica leads.
type NewPartition struct {
	Index    int32
	Replicas []int32
}

func (*InitCluster) kind() byte        { return 1 }
func (*RegisterBroker) kind() byte     { return 2 }
func (*BeginTopic) kind() byte         { return 3 }
func (*GrowTopic) kind() byte          { return 4 }
func (*FinishTopic) kind() byte        { return 5 }
func (*AlterTopic) kind() byte         { return 6 }
func (*DeleteTopic) kind() byte        { return 7 }
func (*ForgetTopic) kind() byte        { return 8 }
func (*AllocateIDs) kind() byte        { return 9 }
func (*RecordWAL) kind() byte          { return 10 }
func (*RecordClaim) kind() byte        { return 11 }
func (*RecordWALStart) kind() byte     { return 12 }
func (*UnregisterBroker) kind() byte   { return 13 }
func (*DecommissionBroker) kind() byte { return 14 }
func (*RecordThrottle) kind() byte     { return 15 }
func (*RecordController) kind() byte   { return 16 }
func (*ForgetController) kind() byte   { return 17 }
func (*RaiseFeature) kind() byte       { return 18 }
func (*SettleTopic) kind() byte        { return 19 }
func (*RecordLoss) kind() byte         { return 20 }
func (*EnsurePartitions) kind() byte   { return 32 }
func (*StartBroker) kind() byte        { return 33 }
func (*SetLogStart) kind() byte        { return 34 }
func (*PrepareObject) kind() byte      { return 35 }
func (*CommitParts) kind() byte        { return 36 }
func (*ExpireObjects) kind() byte      { return 37 }
func (*CollectObjects) kind() byte     { return 38 }
func (*DropTopic) kind() byte          { return 39 }
func (*ChangeGroup) kind() byte        { return 40 }
func (*TrimLog) kind() byte            { return 41 }
func (*ReplaceObjects) kind() byte     { return 42 }
func (*MarkDeleted) kind() byte        { return 43 }
func (*ExpireProducers) kind() byte    { return 44 }
func (*LoseReplicas) kind() byte       { return 45 }
func (*AlterISR) kind() byte           { return 46 }
func (*ElectLeaders) kind() byte       { return 47 }
func (*SetMinISR) kind() byte          { return 48 }
func (*Reassign) kind() byte           { return 49 }
func (*AcquireCoordinator) kind() byte { return 50 }
func (*ReadyBroker) kind() byte        { return 64 }
func (*FenceBroker) kind() byte        { return 65 }
func (*DrainBroker) kind() byte        { return 66 }
