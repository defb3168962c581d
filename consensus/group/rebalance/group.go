package rebalance

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

// State is the state of a group.
type State uint8

// The states of a group, with Kafka's names.
const (
	// Empty: no members. The group may have offsets.
	Empty State = iota
	// PreparingRebalance: members have to join again.
	PreparingRebalance
	// CompletingRebalance: waiting for the leader's assignment.
	CompletingRebalance
	// Stable: every member has, or can fetch, its assignment.
	Stable
	// Dead: the group is being deleted.
	Dead
)

// States is the number of states.
const States = int(Dead) + 1

// String returns the name that DescribeGroups shows.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// Limits are the limits of a group.
type Limits struct {
	// InitialDelay is how long an empty group waits for more members after the first one
	// (Kafka's group.initial.rebalance.delay.ms).
	InitialDelay time.Duration
	// MinSession and MaxSession limit a member's session timeout.
	MinSession, MaxSession time.Duration
	// Members limits the number of members.
	Members int
	// Bytes limits the size of the members' metadata and assignments.
	Bytes int
}

// Group is the state of one group. It is not safe for concurrent use.
type Group struct {
	limits Limits
	name   string

	state                          State
	generation                     int32
	protocolType, protocol, leader string
	changedMs                      int64

	members  []*member // in order of arrival
	byID     map[string]*member
	static   map[string]*member   // by instance id
	pending  map[string]time.Time // deadlines of ids given to clients that have not come back
	supports map[string]int       // protocol -> members that offer it
	awaiting int                  // members whose join is not answered yet
	bytes    int
	// pendingBytes is the size of pending, which is dropped in favor of members.
	pendingBytes int
	// assignment is the leader's while it is being written; assignmentBytes is its size.
	assignment      map[string][]byte
	assignmentBytes int

	joinBy time.Time // end of PreparingRebalance
	syncBy time.Time // members that have not synced by then are removed
	// initial means that joinBy is the initial delay, which is extended while members arrive,
	// by initialLeft at most.
	initial, cameMore bool
	initialLeft       time.Duration

	wake   time.Time
	writes uint64
	onDone map[uint64]func(now time.Time, ok bool)
	out    []Effect
}

// New returns an empty group.
func New(name string, l Limits) *Group {
	return &Group{limits: l, name: name, byID: make(map[string]*member), static: make(map[string]*member),
		pending: make(map[string]time.Time), supports: make(map[string]int), onDone: make(map[uint64]func(time.Time, bool))}
}

// Load returns the group that was written as s. Its members' sessions start now.
func Load(s *meta.Group, l Limits, now time.Time) *Group {
	g := New(s.Name, l)
	g.generation, g.protocolType, g.protocol, g.leader = s.Generation, s.ProtocolType, s.Protocol, s.Leader
	g.changedMs = s.StateMs
	for i := range s.Members {
		s := &s.Members[i]
		m := &member{id: s.ID, instance: s.InstanceID, clientID: s.ClientID, clientHost: s.ClientHost,
			session:   time.Duration(s.SessionTimeoutMs) * time.Millisecond,
			rebalance: time.Duration(s.RebalanceMs) * time.Millisecond,
			protocols: []Protocol{{g.protocol, s.Subscription}}, assignment: s.Assignment}
		g.insert(m)
		g.touch(m, now)
	}
	if len(g.members) > 0 {
		g.state = Stable
	}
	return g
}

// Step applies ev at the time now and returns the effects in order. now must not decrease.
func (g *Group) Step(now time.Time, ev Event) []Effect {
	g.out = nil
	ev.step(g, now)
	if g.state != Dead && g.due(g.wake, now) {
		g.tick(now)
	}
	out := g.out
	g.out = nil
	return out
}

// Wake returns when the next Tick is due; the zero time means never.
func (g *Group) Wake() time.Time { return g.wake }

// State returns the current state.
func (g *Group) State() State { return g.state }

// Host returns the host of the first member; empty without members.
func (g *Group) Host() string {
	if len(g.members) == 0 {
		return ""
	}
	return g.members[0].clientHost
}

// Generation returns the current generation.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType returns the protocol type of the members, usually "consumer"; empty if the group
// never had any.
func (g *Group) ProtocolType() string { return g.protocolType }

// Bytes returns the size of the members, as limited by Limits.Bytes.
func (g *Group) Bytes() int { return g.bytes }

// ChangedMs returns when the group became empty or was last assigned, in Unix milliseconds; 0
// if unknown.
func (g *Group) ChangedMs() int64 { return g.changedMs }

// Blank reports whether removing the group would lose nothing.
func (g *Group) Blank() bool {
	return g.state == Empty && g.generation == 0 && len(g.pending) == 0 && len(g.onDone) == 0
}

func (g *Group) emit(e Effect) { g.out = append(g.out, e) }

func (g *Group) answer(to Ticket, code int16) {
	if to != 0 {
		g.emit(Answer{To: to, Code: code})
	}
}

// write makes the state, or the deletion, durable.
func (g *Group) write(w Write, done func(now time.Time, ok bool)) {
	g.writes++
	w.ID = g.writes
	g.onDone[w.ID] = done
	g.emit(w)
}

func (w Written) step(g *Group, now time.Time) {
	done := g.onDone[w.ID]
	delete(g.onDone, w.ID)
	if done != nil {
		done(now, w.OK)
	}
}

// durable returns the state to write, with the given assignments.
func (g *Group) durable(now time.Time, assigned map[string][]byte) *meta.Group {
	g.changedMs = now.UnixMilli()
	s := &meta.Group{Name: g.name, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
		Leader: g.leader, StateMs: g.changedMs, Members: make([]meta.GroupMember, len(g.members))}
	for i, m := range g.members {
		s.Members[i] = meta.GroupMember{ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			SessionTimeoutMs: int32(m.session / time.Millisecond), RebalanceMs: int32(m.rebalance / time.Millisecond),
			Subscription: m.metadata(g.protocol), Assignment: assigned[m.id]}
	}
	return s
}

// assigned returns the current assignments.
func (g *Group) assigned() map[string][]byte {
	a := make(map[string][]byte, len(g.members))
	for _, m := range g.members {
		a[m.id] = m.assignment
	}
	return a
}
