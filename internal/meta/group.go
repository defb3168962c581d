package meta

import "github.com/sluicemq/sluice/internal/topic"

// CommittedOffset is what a consumer group committed for one partition.
type CommittedOffset struct {
	Offset      int64
	LeaderEpoch int32 // -1 where the client gave none
	Metadata    string
	CommitMs    int64 // ms since epoch
}

// GroupMember is one member of a stable consumer group.
type GroupMember struct {
	ID               string
	InstanceID       *string // group.instance.id of a static member (KIP-345)
	ClientID         string
	ClientHost       string
	SessionTimeoutMs int32
	RebalanceMs      int32
	Subscription     []byte // metadata for the chosen protocol
	Assignment       []byte
}

// Group is the durable part of a consumer group, written at every completed
// rebalance and every commit. Values are never modified once handed over.
type Group struct {
	Name         string
	Generation   int32
	ProtocolType string
	Protocol     string
	Leader       string
	Members      []GroupMember
	StateMs      int64 // ms since epoch, of the last change to all above
	Offsets      map[topic.Partition]CommittedOffset
}

// GroupChange is one durable step of a group. A nil field leaves that part
// unchanged.
type GroupChange struct {
	// State replaces everything but the offsets; its Offsets are ignored.
	State *Group
	// Set and Clear change single offsets.
	Set   map[topic.Partition]CommittedOffset
	Clear []topic.Partition
	// Delete removes the group with its offsets; nothing else may be set.
	Delete bool
}
