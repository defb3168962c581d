package rebalance

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

// Ticket identifies a request that waits for its reply. 0 is none.
type Ticket uint64

// Event is an input of a group.
type Event interface {
	step(g *Group, now time.Time)
}

// Protocol is an assignment protocol offered by a member, with its metadata for the leader.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Join requests membership in the next generation (JoinGroup). Its reply is Joined.
type Join struct {
	To       Ticket
	MemberID string // empty: not a member yet
	// NewID is the id for a member without one. It was never used before.
	NewID      string
	InstanceID *string // of a static member
	ClientID   string
	ClientHost string
	// RequireID makes a new dynamic member join again with its id (KIP-394).
	RequireID bool
	// CanSkip means that the client supports Joined.SkipAssignment.
	CanSkip            bool
	Session, Rebalance time.Duration
	ProtocolType       string
	Protocols          []Protocol // best first; retained
}

// Assignment is the leader's assignment to one member.
type Assignment struct {
	MemberID string
	Bytes    []byte
}

// Sync requests the assignment of a generation; the leader's provides it (SyncGroup). Its reply
// is Synced.
type Sync struct {
	To         Ticket
	MemberID   string
	InstanceID *string
	Generation int32
	// ProtocolType and Protocol are the ones the member expects; nil: not sent.
	ProtocolType, Protocol *string
	Assignments            []Assignment // retained
}

// Heartbeat keeps a member alive. Its reply is Answer.
type Heartbeat struct {
	To         Ticket
	MemberID   string
	InstanceID *string
	Generation int32
}

// Leaver is a member that leaves, or that an administrator removes by instance id alone.
type Leaver struct {
	MemberID   string
	InstanceID *string
}

// Leave removes members. Its reply is Left.
type Leave struct {
	To      Ticket
	Members []Leaver
}

// Commit asks whether offsets may be committed now. Its reply is Answer.
type Commit struct {
	To         Ticket
	MemberID   string
	InstanceID *string
	Generation int32 // -1 from a client that is not a member
}

// Delete removes the group if it is empty. Its reply is Answer, once that is written.
type Delete struct{ To Ticket }

// Written reports the outcome of a Write.
type Written struct {
	ID uint64
	OK bool
}

// Tick lets time pass. It is due at Wake and harmless at any time.
type Tick struct{}

// Effect is an action for the driver.
type Effect interface{ effect() }

// Answer is a reply that is only an error code.
type Answer struct {
	To   Ticket
	Code int16
}

// JoinedMember is a member as sent to the leader.
type JoinedMember struct {
	ID         string
	InstanceID *string
	Metadata   []byte
}

// Joined is the reply to Join. With a Code only MemberID is set.
type Joined struct {
	To                             Ticket
	Code                           int16
	MemberID                       string
	Generation                     int32
	ProtocolType, Protocol, Leader string
	// SkipAssignment tells a returning leader that the assignment has not changed.
	SkipAssignment bool
	Members        []JoinedMember // for the leader
}

// Synced is the reply to Sync. With a Code the rest is empty.
type Synced struct {
	To                     Ticket
	Code                   int16
	ProtocolType, Protocol string
	Assignment             []byte
}

// Left is the reply to Leave: Code for all, or one of Codes for each.
type Left struct {
	To    Ticket
	Code  int16
	Codes []int16
}

// Write makes the state durable; Written reports the outcome. Later writes supersede earlier
// ones and must not overtake them.
type Write struct {
	ID     uint64
	State  *meta.Group // without offsets
	Delete bool        // remove the group with its offsets; State is nil
}

// Rebalanced means that a generation started.
type Rebalanced struct {
	Generation int32
	Members    int
}

// Expired means that a member was removed because it missed a timeout.
type Expired struct {
	MemberID string
	Why      string
}

// Deleted means that the group no longer exists; the driver must remove it before it sends the
// reply.
type Deleted struct{}

func (Answer) effect()     {}
func (Joined) effect()     {}
func (Synced) effect()     {}
func (Left) effect()       {}
func (Write) effect()      {}
func (Rebalanced) effect() {}
func (Expired) effect()    {}
func (Deleted) effect()    {}
