package rebalance

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func (s Sync) step(g *Group, now time.Time) {
	m, code := g.check(s.MemberID, s.InstanceID, s.Generation)
	switch {
	case code != 0:
	case s.ProtocolType != nil && *s.ProtocolType != g.protocolType, s.Protocol != nil && *s.Protocol != g.protocol:
		code = kerr.InconsistentGroupProtocol.Code
	case g.state == PreparingRebalance:
		code = kerr.RebalanceInProgress.Code
	}
	if code != 0 {
		g.emit(Synced{To: s.To, Code: code})
		return
	}
	g.touch(m, now)
	m.unsynced = false
	if g.state == Stable {
		g.emit(g.synced(m, s.To))
		return
	}
	g.refuseWaiting(m, kerr.RebalanceInProgress.Code)
	m.sync = s.To
	if m.id == g.leader && !g.assigning() {
		g.assign(now, s.Assignments)
	}
}

// check looks up the member of the current generation that sent a request.
func (g *Group) check(id string, instance *string, generation int32) (*member, int16) {
	if g.state == Dead {
		return nil, kerr.CoordinatorNotAvailable.Code
	}
	m, code := g.current(id, instance)
	if code == 0 && generation != g.generation {
		code = kerr.IllegalGeneration.Code
	}
	return m, code
}

func (g *Group) synced(m *member, to Ticket) Synced {
	return Synced{To: to, ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// assigning reports whether the leader's assignment is being written.
func (g *Group) assigning() bool { return g.assignment != nil }

// SyncGrowth returns by how much Bytes may grow if the group accepts s.
func (g *Group) SyncGrowth(s *Sync) int {
	m, code := g.check(s.MemberID, s.InstanceID, s.Generation)
	if code != 0 || g.state != CompletingRebalance || m.id != g.leader || g.assigning() {
		return 0
	}
	_, size := g.ofMembers(s.Assignments)
	if !g.fits(size) {
		return 0 // refused
	}
	return size
}

// ofMembers returns the assignments of actual members, and their size.
func (g *Group) ofMembers(as []Assignment) (assigned map[string][]byte, size int) {
	assigned = make(map[string][]byte, len(as))
	for _, a := range as {
		if _, ok := g.byID[a.MemberID]; ok {
			size += len(a.Bytes) - len(assigned[a.MemberID])
			assigned[a.MemberID] = a.Bytes
		}
	}
	return assigned, size
}

// fits reports whether an assignment of that size fits in place of the current one.
func (g *Group) fits(size int) bool {
	before := 0
	for _, m := range g.members {
		before += len(m.assignment)
	}
	return g.bytes-g.pendingBytes-before+size <= g.limits.Bytes
}

// assign writes the leader's assignment; members get it once it is durable.
func (g *Group) assign(now time.Time, as []Assignment) {
	assigned, size := g.ofMembers(as)
	if !g.fits(size) {
		g.dropAssignments(now, kerr.UnknownServerError.Code) // like Kafka, for an assignment that it cannot store
		g.prepare(now)
		return
	}
	g.clearAssignments()
	g.assignment, g.assignmentBytes = assigned, size
	g.bytes += size
	g.trimPending()
	generation := g.generation
	g.write(Write{State: g.durable(now, assigned)}, func(now time.Time, ok bool) {
		switch {
		case g.state != CompletingRebalance || g.generation != generation:
			// A rebalance has started meanwhile; members know.
		case ok:
			g.propagate(now)
		default:
			g.dropAssignments(now, kerr.CoordinatorNotAvailable.Code)
			g.prepare(now)
		}
	})
}

// propagate sends every member its written assignment.
func (g *Group) propagate(now time.Time) {
	g.state = Stable
	assigned := g.forgetAssignment()
	for _, m := range g.members {
		m.assignment = assigned[m.id]
		g.recount(m)
		if m.sync != 0 {
			g.touch(m, now)
			g.emit(g.synced(m, m.sync))
			m.sync = 0
		}
	}
}

// forgetAssignment ends the write of the leader's assignment, and returns it.
func (g *Group) forgetAssignment() map[string][]byte {
	assigned := g.assignment
	g.bytes -= g.assignmentBytes
	g.assignment, g.assignmentBytes = nil, 0
	return assigned
}

// dropAssignments answers all members that wait for an assignment with code. Nobody has one
// afterwards.
func (g *Group) dropAssignments(now time.Time, code int16) {
	g.forgetAssignment()
	g.clearAssignments()
	for _, m := range g.members {
		if m.sync != 0 {
			g.touch(m, now)
			g.emit(Synced{To: m.sync, Code: code})
			m.sync = 0
		}
	}
}

// clearAssignments removes all members' assignments.
func (g *Group) clearAssignments() {
	for _, m := range g.members {
		m.assignment = nil
		g.recount(m)
	}
}
