package rebalance

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func (h Heartbeat) step(g *Group, now time.Time) {
	m, code := g.check(h.MemberID, h.InstanceID, h.Generation)
	if code == 0 {
		g.touch(m, now)
		if g.state == PreparingRebalance {
			code = kerr.RebalanceInProgress.Code
		}
	}
	g.answer(h.To, code)
}

func (c Commit) step(g *Group, now time.Time) {
	if g.state == Empty && c.Generation < 0 {
		g.answer(c.To, 0) // by a client that assigns itself
		return
	}
	m, code := g.check(c.MemberID, c.InstanceID, c.Generation)
	if code == 0 {
		g.touch(m, now)
		if g.state == CompletingRebalance {
			code = kerr.RebalanceInProgress.Code
		}
	}
	g.answer(c.To, code)
}

func (l Leave) step(g *Group, now time.Time) {
	if g.state == Dead {
		g.emit(Left{To: l.To, Code: kerr.CoordinatorNotAvailable.Code})
		return
	}
	codes := make([]int16, len(l.Members))
	for i, who := range l.Members {
		codes[i] = g.leaveOne(now, who)
	}
	g.tryComplete(now)
	g.emit(Left{To: l.To, Codes: codes})
}

func (g *Group) leaveOne(now time.Time, who Leaver) int16 {
	if who.MemberID == "" && who.InstanceID != nil { // by an administrator
		m, ok := g.static[*who.InstanceID]
		if !ok {
			return kerr.UnknownMemberID.Code
		}
		g.leave(now, m)
		return 0
	}
	if who.InstanceID == nil && g.dropPending(who.MemberID) {
		return 0
	}
	m, code := g.current(who.MemberID, who.InstanceID)
	if code == 0 {
		g.leave(now, m)
	}
	return code
}

// leave removes m and rebalances what it had.
func (g *Group) leave(now time.Time, m *member) {
	g.remove(m)
	g.prepare(now)
	g.tryComplete(now)
}

func (d Delete) step(g *Group, now time.Time) {
	switch g.state {
	case Empty:
	case Dead:
		g.answer(d.To, kerr.GroupIDNotFound.Code)
		return
	default:
		g.answer(d.To, kerr.NonEmptyGroup.Code)
		return
	}
	for id := range g.pending {
		g.dropPending(id)
	}
	g.state, g.wake = Dead, time.Time{}
	g.write(Write{Delete: true}, func(_ time.Time, ok bool) {
		if !ok {
			g.state = Empty
			g.answer(d.To, kerr.CoordinatorNotAvailable.Code)
			return
		}
		g.emit(Deleted{})
		g.answer(d.To, 0)
	})
}

func (Tick) step(*Group, time.Time) {} // Step ticks

// touch restarts the session of m.
func (g *Group) touch(m *member, now time.Time) {
	if m.isNew {
		return // the session starts when its join is answered
	}
	m.expires = now.Add(m.session)
	g.wakeAt(m.expires)
}

func (g *Group) wakeAt(t time.Time) {
	if g.wake.IsZero() || t.Before(g.wake) {
		g.wake = t
	}
}

func (g *Group) due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// tick does what is due and sets wake to the next time.
func (g *Group) tick(now time.Time) {
	for id, until := range g.pending {
		if g.due(until, now) {
			g.dropPending(id)
		}
	}
	g.tryComplete(now)
	for _, m := range slices.Clone(g.members) {
		if g.byID[m.id] == m && g.due(m.expires, now) {
			g.expire(now, m)
		}
	}
	if g.due(g.syncBy, now) {
		g.endSync(now)
	}
	if g.state == PreparingRebalance && g.due(g.joinBy, now) {
		g.endJoin(now)
	}
	g.updateWake()
}

// expire removes m unless it waits for the group.
func (g *Group) expire(now time.Time, m *member) {
	if !m.isNew && (m.join != 0 || m.sync != 0) {
		g.touch(m, now)
		return
	}
	g.emit(Expired{MemberID: m.id, Why: "sent no heartbeat within its session timeout"})
	g.leave(now, m)
}

// endJoin ends the join phase, or extends it while an empty group fills up.
func (g *Group) endJoin(now time.Time) {
	if !g.initial || !g.cameMore || g.initialLeft <= 0 {
		g.complete(now)
		return
	}
	wait := min(g.limits.InitialDelay, g.initialLeft)
	g.cameMore = false
	g.initialLeft -= wait
	g.joinBy = now.Add(wait)
}

// endSync removes the members that know the generation and never asked for their assignment.
func (g *Group) endSync(now time.Time) {
	g.syncBy = time.Time{}
	late := false
	for _, m := range slices.Clone(g.members) {
		if m.unsynced {
			g.remove(m)
			g.emit(Expired{MemberID: m.id, Why: "did not ask for its assignment in time"})
			late = true
		}
	}
	if late {
		g.prepare(now)
	}
}

// updateWake sets wake to the earliest time at which something is due.
func (g *Group) updateWake() {
	g.wake = time.Time{}
	for _, until := range g.pending {
		g.wakeAt(until)
	}
	for _, m := range g.members {
		g.wakeAt(m.expires)
	}
	for _, t := range []time.Time{g.joinBy, g.syncBy} {
		if !t.IsZero() {
			g.wakeAt(t)
		}
	}
}
