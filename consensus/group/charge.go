package group

import (
	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
)

// Approximate memory of a group: its structs and those of an offset, beyond the bytes of their
// strings. Metadata and assignments of members are held twice, in the state machine and in the
// store.
const (
	perGroup  = 2048
	perOffset = 128
	copies    = 2
)

// shares is how many groups could use up the memory of all groups: one group gets at most that
// fraction.
const shares = 2

func sizeOf(o meta.CommittedOffset) int64 { return perOffset + int64(len(o.Metadata)) }

// needs returns what a request takes that adds bytes to a group, which need not exist yet
// (nil).
func needs(e *laneGroup, name string, bytes int64) amount {
	if e == nil {
		return amount{1, perGroup + int64(len(name)) + bytes}
	}
	return amount{0, bytes}
}

// kept summarizes what the store has of a group.
type kept struct {
	from    *meta.Group // the group when last looked at; nil: none
	bytes   int64       // of its offsets
	usedMs  int64       // commit time of the newest
	offsets int
}

func keptOf(g *meta.Group) kept {
	k := kept{from: g}
	if g == nil {
		return k
	}
	k.offsets = len(g.Offsets)
	for _, o := range g.Offsets {
		k.bytes += sizeOf(o)
		k.usedMs = max(k.usedMs, o.CommitMs)
	}
	return k
}

// after returns k after a change, provided that nothing else changed.
func (k kept) after(c *change) kept {
	var old offsets
	if k.from != nil {
		old = k.from.Offsets
	}
	for p, o := range c.Set {
		if was, ok := old[p]; ok {
			k.bytes -= sizeOf(was)
			k.offsets--
		}
		k.bytes += sizeOf(o)
		k.offsets++
		k.usedMs = max(k.usedMs, o.CommitMs)
	}
	for _, p := range c.Clear { // none of which is in Set
		if was, ok := old[p]; ok {
			k.bytes -= sizeOf(was)
			k.offsets--
		}
	}
	return k
}

// look updates the summary of the store. wrote is the change made since, if it is the only one:
// then a large group need not be counted again. Only the deletion of a topic changes a group
// from outside, by removing offsets.
func (l *lane) look(e *laneGroup, wrote *change) {
	now, ok := l.c.store.Group(e.name)
	switch {
	case !ok:
		e.kept = kept{}
	case now == e.kept.from:
	case wrote != nil:
		k := e.kept.after(wrote)
		if k.from = now; k.offsets != len(now.Offsets) {
			k = keptOf(now)
		}
		e.kept = k
	default:
		e.kept = keptOf(now)
	}
}

// size returns what the group is to be charged.
func (e *laneGroup) size() amount {
	n := perGroup + int64(len(e.name)) + copies*int64(e.g.Bytes()) + e.kept.bytes + e.next.grows
	if e.under != nil {
		n += e.under.grows
	}
	return amount{1, n}
}

// growth returns by how many bytes set adds to what the group has or is writing.
func (e *laneGroup) growth(set offsets) int64 {
	n := int64(0)
	for p, o := range set {
		n += sizeOf(o)
		if e == nil {
			continue
		}
		if was, ok := e.next.Set[p]; ok {
			n -= sizeOf(was)
		} else if was, ok := e.writing()[p]; ok {
			n -= sizeOf(was)
		} else if was, ok := e.committed()[p]; ok {
			n -= sizeOf(was)
		}
	}
	return max(0, n)
}

// writing returns the offsets being written, committed those in the store.
func (e *laneGroup) writing() offsets {
	if e == nil || e.under == nil {
		return nil
	}
	return e.under.Set
}

func (e *laneGroup) committed() offsets {
	if e == nil || e.kept.from == nil {
		return nil
	}
	return e.kept.from.Offsets
}

// bytes returns what the group is charged, 0 if nil.
func (e *laneGroup) bytes() int64 {
	if e == nil {
		return 0
	}
	return e.charged.bytes
}

// share returns the most that one group may be charged.
func (c Config) share() int64 { return c.MetadataBytes / shares }

// admit reserves what a request needs, or makes the request wait until it fits, or refuses it
// if it never will. It reports whether the request can continue now.
func (l *lane) admit(e *laneGroup, need amount, refuse func(code int16), run task) bool {
	more := need.minus(l.held).positive()
	if l.c.quota.take(more) {
		l.held = l.held.plus(more)
		return true
	}
	l.park(&claim{need: need, lane: l, group: e, run: run, refuse: refuse})
	return false
}

// park makes a request start over when it fits. A request waits only once.
func (l *lane) park(c *claim) {
	if l.resumed || !l.c.quota.wait(c) {
		l.c.refuse(c)
		return
	}
	if c.group != nil {
		c.group.claims++
		l.rank(c.group)
	}
}

// charge updates the usage to what the group takes.
func (l *lane) charge(e *laneGroup, now amount) {
	l.c.quota.adjust(now.minus(e.charged).minus(l.held))
	e.charged, l.held = now, amount{}
}

// put returns what the lane has reserved and not used.
func (l *lane) put() {
	l.c.quota.adjust(amount{}.minus(l.held))
	l.held = amount{}
}

// unused says how long a group has not been used. Joining, leaving and committing offsets are
// uses; all of them are durable.
type unused struct {
	blank   bool // not in the store: the client was given a member id and has not come back
	sinceMs int64
}

// idle reports whether nobody uses the group and nothing is in progress.
func (e *laneGroup) idle() bool {
	return !e.gone && e.g.State() == rebalance.Empty && e.under == nil && e.next.empty() && e.remove == nil && e.claims == 0
}

// quiet reports whether the group is idle and nobody is about to join.
func (e *laneGroup) quiet() bool { return e.idle() && e.g.Wake().IsZero() }

// unused reports whether the group may be evicted, and since when it is unused.
func (e *laneGroup) unused() (unused, bool) {
	switch {
	case !e.idle():
		return unused{}, false
	case e.kept.from == nil:
		return unused{true, e.bornMs}, true
	case !e.g.Wake().IsZero():
		return unused{}, false
	default:
		return unused{false, max(e.kept.usedMs, e.g.ChangedMs())}, true
	}
}
