package rebalance

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

// Ticket names one request that waits for its answer. 0 is nobody.
type Ticket uint64

// Event is something that happens to a group.
type Event interface {
	step(g *Group, now time.Time)
}

// Protocol is one way of assigning partitions that a member offers, with what it
// tells the leader.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Join asks to be a member of the next generation (JoinGroup). Its answer is a
// Joined.
type Join struct {
	To       Ticket
	MemberID string // empty: not a member yet
	// NewID is the id given to a member that has none. It was never used before.
	NewID      string
	InstanceID *string // of a static member
	ClientID   string
	ClientHost string
	// RequireID makes a new dynamic member come again with its id (KIP-394).
	RequireID bool
	// CanSkip says that the client understands Joined.SkipAssignment.
	CanSkip            bool
	Session, Rebalance time.Duration
	ProtocolType       string
	Protocols          []Protocol // best first; kept
}

// Assignment is what the leader assigns to one member.
type Assignment struct {
	MemberID string
	Bytes    []byte
}

// Sync asks for the assignment of a generation; the leader's brings it
// (SyncGroup). Its answer is a Synced.
type Sync struct {
	To         Ticket
	MemberID   string
	InstanceID *string
	Generation int32
	// ProtocolType and Protocol are what the member believes in; nil: it does not say.
	ProtocolType, Protocol *string
	Assignments            []Assignment // kept
}

// Heartbeat says that a member is alive. Its answer is an Answer.
type Heartbeat struct {
	To         Ticket
	MemberID   string
	InstanceID *string
	Generation int32
}

// Leaver names a member that leaves, or that an administrator removes by its
// instance id alone.
type Leaver struct {
	MemberID   string
	InstanceID *string
}

// Leave removes members. Its answer is a Left.
type Leave struct {
	To      Ticket
	Members []Leaver
}

// Commit asks whether offsets may be committed now. Its answer is an Answer.
type Commit struct {
	To         Ticket
	MemberID   string
	InstanceID *string
	Generation int32 // -1 from a client that is no member
}

// Delete removes the group if it is empty. Its answer is an Answer, once that
// is written.
type Delete struct{ To Ticket }

// Written says what became of a Write.
type Written struct {
	ID uint64
	OK bool
}

// Tick lets time pass. It is due at Wake and harmless at any time.
type Tick struct{}

// Effect is something that the driver does for a group.
type Effect interface{ effect() }

// Answer is a bare error code.
type Answer struct {
	To   Ticket
	Code int16
}

// JoinedMember is one member as its leader sees it.
type JoinedMember struct {
	ID         string
	InstanceID *string
	Metadata   []byte
}

// Joined answers Join. With a Code only MemberID is set.
type Joined struct {
	To                             Ticket
	Code                           int16
	MemberID                       string
	Generation                     int32
	ProtocolType, Protocol, Leader string
	// SkipAssignment tells a returned leader that its old assignment holds.
	SkipAssignment bool
	Members        []JoinedMember // for the leader
}

// Synced answers Sync. With a Code the rest is empty.
type Synced struct {
	To                     Ticket
	Code                   int16
	ProtocolType, Protocol string
	Assignment             []byte
}

// Left answers Leave: Code for all, or one of Codes for each.
type Left struct {
	To    Ticket
	Code  int16
	Codes []int16
}

// Write asks for the state to be made durable; Written tells the outcome. Later
// writes supersede earlier ones and must not overtake them.
type Write struct {
	ID     uint64
	State  *meta.Group // without offsets
	Delete bool        // remove the group with its offsets; State is nil
}

// Rebalanced says that a generation began.
type Rebalanced struct {
	Generation int32
	Members    int
}

// Expired says that a member was removed because it was not heard of.
type Expired struct {
	MemberID string
	Why      string
}

// Deleted says that the group is no more; the driver forgets it, before it tells who
// asked for it.
type Deleted struct{}

func (Answer) effect()     {}
func (Joined) effect()     {}
func (Synced) effect()     {}
func (Left) effect()       {}
func (Write) effect()      {}
func (Rebalanced) effect() {}
func (Expired) effect()    {}
func (Deleted) effect()    {}
