package rebalance

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// newMemberTimeout is how long a member that does not know its id yet is kept during a
// rebalance. Its client may be gone without leaving.
const newMemberTimeout = 5 * time.Minute

// minRebalance is the minimum time for members to join and to sync, whatever they request.
const minRebalance = time.Second

func (j Join) step(g *Group, now time.Time) {
	switch code := g.verdict(&j); {
	case code == kerr.GroupMaxSizeReached.Code:
		j.refuseFull(g, now)
	case code != 0:
		j.refuse(g, code)
	case j.MemberID == "":
		g.joinNew(now, &j)
	default:
		g.joinAgain(now, &j)
	}
	g.trimPending()
	g.tryComplete(now)
}

// size returns the size of the member, without its id.
func (j *Join) size() int {
	return perMember + sizeOf(j.Protocols) + len(j.ClientID) + len(j.ClientHost)
}

// verdict returns whether j is acceptable, whoever sent it.
func (g *Group) verdict(j *Join) int16 {
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable.Code
	case j.Session < g.limits.MinSession || j.Session > g.limits.MaxSession:
		return kerr.InvalidSessionTimeout.Code
	case !g.compatible(j.ProtocolType, j.Protocols):
		return kerr.InconsistentGroupProtocol.Code
	case !g.hasRoom(j):
		return kerr.GroupMaxSizeReached.Code
	}
	return 0
}

// JoinGrowth returns by how much Bytes may grow if the group accepts j; 0 if it refuses it.
func (g *Group) JoinGrowth(j *Join) int {
	if g.verdict(j) != 0 {
		return 0
	}
	says := len(j.ClientID) + len(j.ClientHost) + sizeOf(j.Protocols)
	if m, known := g.sender(j); known {
		return max(0, says+len(j.NewID)-len(m.clientID)-len(m.clientHost)-sizeOf(m.protocols))
	}
	switch _, pending := g.pending[j.MemberID]; {
	case pending:
		return says
	case j.MemberID != "":
		return 0 // an unknown id
	case j.InstanceID != nil:
		return perMember + len(j.NewID) + len(*j.InstanceID) + says
	case j.RequireID:
		return perMember + len(j.NewID)
	default:
		return perMember + len(j.NewID) + says
	}
}

// sender returns the member that j claims to come from.
func (g *Group) sender(j *Join) (m *member, known bool) {
	if j.InstanceID != nil && j.MemberID == "" {
		m, known = g.static[*j.InstanceID]
	} else {
		m, known = g.byID[j.MemberID]
	}
	return m, known
}

func (j *Join) refuse(g *Group, code int16) {
	g.emit(Joined{To: j.To, Code: code, MemberID: j.MemberID, Generation: -1})
}

// refuseFull refuses a member because the group is full. An existing member is removed.
func (j *Join) refuseFull(g *Group, now time.Time) {
	g.dropPending(j.MemberID)
	if m, code := g.current(j.MemberID, j.InstanceID); code == 0 {
		g.leave(now, m)
	}
	g.emit(Joined{To: j.To, Code: kerr.GroupMaxSizeReached.Code, Generation: -1})
}

// hasRoom reports whether the member may join the next generation. During a rebalance the
// earliest members have priority, so that a group above its limit shrinks.
func (g *Group) hasRoom(j *Join) bool {
	m, known := g.sender(j)
	old := 0
	if known {
		old = sizeOf(m.protocols)
	}
	switch {
	case g.bytes-g.pendingBytes-old+j.size() > g.limits.Bytes:
		return false
	case known && m.join != 0:
		return true
	case g.state == PreparingRebalance:
		return g.awaiting < g.limits.Members
	default:
		return known || len(g.members) < g.limits.Members
	}
}

func (g *Group) joinNew(now time.Time, j *Join) {
	if j.InstanceID != nil {
		if old, ok := g.static[*j.InstanceID]; ok {
			g.replace(now, old, j)
			return
		}
	} else if j.RequireID {
		g.addPending(j.NewID, now.Add(j.Session))
		g.emit(Joined{To: j.To, Code: kerr.MemberIDRequired.Code, MemberID: j.NewID, Generation: -1})
		return
	}
	g.add(now, j.NewID, j)
}

func (g *Group) joinAgain(now time.Time, j *Join) {
	if j.InstanceID == nil && g.dropPending(j.MemberID) {
		g.add(now, j.MemberID, j)
		return
	}
	m, code := g.current(j.MemberID, j.InstanceID)
	if code != 0 {
		j.refuse(g, code)
		return
	}
	// A follower that rejoins unchanged, or any member before the assignment exists, did not
	// get its reply. A leader requests a new assignment.
	follows := g.state == Stable && m.id != g.leader
	if (follows || g.state == CompletingRebalance) && m.offers(j.Protocols) {
		g.touch(m, now)
		g.emit(g.joined(m, j.To))
		return
	}
	g.update(m, j)
	g.prepare(now)
}

// add adds a member and starts a rebalance.
func (g *Group) add(now time.Time, id string, j *Join) {
	if g.state == PreparingRebalance && g.initial {
		g.cameMore = true
	}
	if len(g.members) == 0 {
		g.protocolType = j.ProtocolType
	}
	m := &member{id: id, instance: j.InstanceID, isNew: true, protocols: j.Protocols}
	g.insert(m)
	g.update(m, j)
	m.expires = now.Add(newMemberTimeout)
	g.wakeAt(m.expires)
	g.prepare(now)
}

// update stores what a member sent and makes it wait for the next generation.
func (g *Group) update(m *member, j *Join) {
	g.count(m, -1)
	m.protocols = j.Protocols
	g.count(m, 1)
	m.clientID, m.clientHost = j.ClientID, j.ClientHost
	m.session, m.rebalance, m.canSkip = j.Session, max(j.Rebalance, minRebalance), j.CanSkip
	g.recount(m)
	g.awaitJoin(m, j.To)
}

// replace replaces a static member that has restarted. Whoever still uses the old id is fenced.
// Without other changes no rebalance is needed.
func (g *Group) replace(now time.Time, m *member, j *Join) {
	g.refuseWaiting(m, kerr.FencedInstanceID.Code)
	oldLeader := g.leader
	delete(g.byID, m.id)
	if g.leader == m.id {
		g.leader = j.NewID
	}
	m.id = j.NewID
	g.byID[m.id] = m
	g.update(m, j)
	g.touch(m, now)
	if g.state != Stable || g.elect() != g.protocol {
		g.prepare(now)
		return
	}
	id, generation := m.id, g.generation
	g.write(Write{State: g.durable(now, g.assigned())}, func(_ time.Time, ok bool) {
		if g.byID[id] != m || m.join == 0 || g.state != Stable || g.generation != generation {
			return // it waits for the next generation, or has been answered
		}
		if !ok {
			g.refuseWaiting(m, kerr.CoordinatorNotAvailable.Code)
			return
		}
		g.answerReplaced(m, oldLeader)
	})
}

// answerReplaced answers the join of a replaced static member in a stable group. A leader that
// does not support skipping the assignment gets its old id as the leader, so that it acts as a
// follower (KIP-814).
func (g *Group) answerReplaced(m *member, oldLeader string) {
	a := g.joined(m, m.join)
	if m.id == g.leader && m.canSkip {
		a.SkipAssignment = true
	} else if m.id == g.leader {
		a.Leader, a.Members = oldLeader, nil
	}
	m.join = 0
	g.awaiting--
	g.emit(a)
}

// joined returns the current generation for m.
func (g *Group) joined(m *member, to Ticket) Joined {
	a := Joined{To: to, MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader}
	if m.id == g.leader {
		a.Members = make([]JoinedMember, len(g.members))
		for i, o := range g.members {
			a.Members[i] = JoinedMember{ID: o.id, InstanceID: o.instance, Metadata: o.metadata(g.protocol)}
		}
	}
	return a
}

// prepare starts a rebalance: all members have to join again.
func (g *Group) prepare(now time.Time) {
	if g.state == PreparingRebalance || g.state == Dead {
		return
	}
	if g.state == CompletingRebalance {
		g.dropAssignments(now, kerr.RebalanceInProgress.Code)
	}
	wait := g.longestRebalance()
	g.initial, g.cameMore = g.state == Empty, false
	if g.initial {
		g.initialLeft = max(wait-g.limits.InitialDelay, 0)
		wait = g.limits.InitialDelay
	}
	g.state, g.syncBy = PreparingRebalance, time.Time{}
	g.joinBy = now.Add(wait)
	g.wakeAt(g.joinBy)
	g.tryComplete(now)
}

// tryComplete ends the join phase once all members have joined.
func (g *Group) tryComplete(now time.Time) {
	if g.state == PreparingRebalance && !g.initial && g.awaiting == len(g.members) && len(g.pending) == 0 {
		g.complete(now)
	}
}

// complete ends the join phase. Members that have not joined are removed, except static ones,
// which have until the end of their session. The rest form a generation.
func (g *Group) complete(now time.Time) {
	for _, m := range append([]*member(nil), g.members...) {
		if m.join == 0 && m.instance == nil {
			g.remove(m)
			g.emit(Expired{MemberID: m.id, Why: "did not join the rebalance in time"})
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		g.joinBy = now.Add(g.longestRebalance())
		g.wakeAt(g.joinBy)
		return
	}
	g.initial, g.joinBy = false, time.Time{}
	g.generation++
	if len(g.members) == 0 {
		g.state, g.protocol, g.leader = Empty, "", ""
		g.write(Write{State: g.durable(now, nil)}, nil)
		return
	}
	g.state, g.protocol = CompletingRebalance, g.elect()
	g.syncBy = now.Add(g.syncTime())
	g.wakeAt(g.syncBy)
	g.emit(Rebalanced{Generation: g.generation, Members: len(g.members)})
	for _, m := range g.members {
		m.isNew = false
		if m.join == 0 {
			continue
		}
		g.touch(m, now)
		m.unsynced = true
		g.emit(g.joined(m, m.join))
		m.join = 0
		g.awaiting--
	}
}

// firstSync limits the time to the first assignment of a group: its members have just joined,
// so they can ask for it, and until then it blocks a slot that others may need.
const firstSync = time.Minute

// syncTime returns how long members have to ask for their assignment.
func (g *Group) syncTime() time.Duration {
	if g.changedMs == 0 {
		return min(firstSync, g.longestRebalance())
	}
	return g.longestRebalance()
}

// electLeader makes sure that the leader has joined, if anyone has.
func (g *Group) electLeader() bool {
	if m, ok := g.byID[g.leader]; ok && m.join != 0 {
		return true
	}
	for _, m := range g.members {
		if m.join != 0 {
			g.leader = m.id
			return true
		}
	}
	return false
}
