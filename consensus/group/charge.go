package group

import (
	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
)

// What a group takes in memory, roughly: its structures and those of an offset beside
// the bytes of their text. What its members say and are assigned is there twice, in the
// machine and in the store.
const (
	perGroup  = 2048
	perOffset = 128
	copies    = 2
)

// shares is how many groups can take all the memory of groups together: one takes at most
// that part of it.
const shares = 2

func sizeOf(o meta.CommittedOffset) int64 { return perOffset + int64(len(o.Metadata)) }

// needs is what a request takes that adds so many bytes to a group, which may not be
// there yet (nil).
func needs(e *entry, name string, bytes int64) amount {
	if e == nil {
		return amount{1, perGroup + int64(len(name)) + bytes}
	}
	return amount{0, bytes}
}

// kept is what the store has of a group.
type kept struct {
	from    *meta.Group // as last looked at; nil: it has none
	bytes   int64       // of its offsets
	usedMs  int64       // when the newest of them was committed
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

// after is k with a change. It is right if nothing else changed meanwhile.
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
	for _, p := range c.Clear { // none of which is set
		if was, ok := old[p]; ok {
			k.bytes -= sizeOf(was)
			k.offsets--
		}
	}
	return k
}

// look brings what is known of the store up to date. wrote is the change that was made
// since, if it alone was made: then a large group need not be counted anew. Nobody else
// changes a group but the deletion of a topic, which takes offsets.
func (l *lane) look(e *entry, wrote *change) {
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

// size is what a group is to be charged.
func (e *entry) size() amount {
	n := perGroup + int64(len(e.name)) + copies*int64(e.g.Bytes()) + e.kept.bytes + e.next.grows
	if e.under != nil {
		n += e.under.grows
	}
	return amount{1, n}
}

// growth is by how much set adds to what the group has, or will have when its writes are
// done.
func (e *entry) growth(set offsets) int64 {
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

// writing is what is being written, committed what the store has.
func (e *entry) writing() offsets {
	if e == nil || e.under == nil {
		return nil
	}
	return e.under.Set
}

func (e *entry) committed() offsets {
	if e == nil || e.kept.from == nil {
		return nil
	}
	return e.kept.from.Offsets
}

// bytes is what the group is charged, nothing if it is not there.
func (e *entry) bytes() int64 {
	if e == nil {
		return 0
	}
	return e.charged.bytes
}

// share is the most that one group may be charged.
func (c Config) share() int64 { return c.MetadataBytes / shares }

// admit has the lane hold what a request needs, or has the request wait until there is
// room, and refuses it if that is in vain. It reports whether the request can go on.
func (l *lane) admit(e *entry, need amount, refuse func(code int16), run task) bool {
	more := need.minus(l.held).positive()
	if l.c.room.take(more) {
		l.held = l.held.plus(more)
		return true
	}
	l.park(&claim{need: need, lane: l, entry: e, run: run, refuse: refuse})
	return false
}

// park has a request begin anew when there is room. One that has waited already does not
// wait again.
func (l *lane) park(c *claim) {
	if l.resumed || !l.c.room.wait(c) {
		l.c.refuse(c)
		return
	}
	if c.entry != nil {
		c.entry.claims++
		l.rank(c.entry)
	}
}

// charge brings what is used in step with what the group takes.
func (l *lane) charge(e *entry, now amount) {
	l.c.room.adjust(now.minus(e.charged).minus(l.held))
	e.charged, l.held = now, amount{}
}

// put gives back what the lane holds and has not used.
func (l *lane) put() {
	l.c.room.adjust(amount{}.minus(l.held))
	l.held = amount{}
}

// unused says how long a group has not been used. That it was joined and left, or that
// an offset was committed, is a use; both are durable.
type unused struct {
	blank   bool // the store has nothing of it: its client was given a member id and has not come back
	sinceMs int64
}

// idle reports whether nobody uses the group, and nothing is under way.
func (e *entry) idle() bool {
	return !e.gone && e.g.State() == rebalance.Empty && e.under == nil && e.next.empty() && e.remove == nil && e.claims == 0
}

// quiet reports whether the group is idle and nobody is about to join.
func (e *entry) quiet() bool { return e.idle() && e.g.Wake().IsZero() }

// unused reports whether the group may make room for others, and since when it was not
// used.
func (e *entry) unused() (unused, bool) {
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
