package group

import (
	"container/heap"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
)

// victim is a group that may be evicted.
type victim struct {
	unused
	name  string
	lane  *lane
	bytes int64
}

// before orders victims: first groups that are not in the store, since nothing is lost with
// them; then those unused the longest.
func (a victim) before(b victim) int {
	switch {
	case a.blank != b.blank:
		if a.blank {
			return -1
		}
		return 1
	case a.sinceMs != b.sinceMs:
		if a.sinceMs < b.sinceMs {
			return -1
		}
		return 1
	default:
		return strings.Compare(a.name, b.name)
	}
}

const (
	// atOnce is the maximum number of groups evicted together.
	atOnce = 64
	// attempts is how often in a row victims may turn out to be in use again before waiting
	// requests are refused.
	attempts = 3
)

// makeRoom serves the claims, and evicts groups for them, until the coordinator is closed. It
// waits for lanes, so it is not a lane: two lanes waiting for each other would deadlock.
func (c *Coordinator) makeRoom() {
	defer func() {
		for _, cl := range c.quota.close() {
			cl.refuse(kerr.CoordinatorNotAvailable.Code)
		}
	}()
	for {
		select {
		case <-c.quota.wake:
			c.serve()
		case <-c.closing:
			return
		}
	}
}

// serve grants what fits and evicts for the rest, until no claim waits.
func (c *Coordinator) serve() {
	for failed := 0; ; {
		c.resume(c.quota.grant(), true)
		need := c.quota.lacks()
		if need.none() {
			return
		}
		victims, can := c.victims(need)
		need, hopeless := c.quota.plan(can)
		c.resume(hopeless, false)
		switch n := c.evict(first(victims, need)); {
		case n[removed] > 0 || len(hopeless) > 0:
			failed = 0
		case n[used] == 0 || failed == attempts:
			granted, refused := c.quota.giveUp()
			c.resume(granted, true)
			c.resume(refused, false)
			return
		default:
			failed++
		}
	}
}

// resume makes the lanes continue the claims.
func (c *Coordinator) resume(claims []*claim, granted bool) {
	for _, cl := range claims {
		if !c.post(cl.lane, func(l *lane) { l.resume(cl, granted) }) {
			cl.refuse(kerr.CoordinatorNotAvailable.Code) // closed
		}
	}
}

func (l *lane) resume(c *claim, granted bool) {
	if c.group != nil {
		c.group.claims--
	}
	if granted {
		l.held, l.resumed = c.need, true
		c.run(l)
		l.resumed = false
	} else {
		l.c.refuse(c)
	}
	if c.group != nil {
		l.refresh(c.group)
	}
}

// refuse refuses a claim with a retriable code.
func (c *Coordinator) refuse(cl *claim) {
	select {
	case <-c.closing:
		cl.refuse(kerr.CoordinatorNotAvailable.Code)
		return
	default:
	}
	c.metrics.refused.Inc()
	if c.fullLog.AllowN(c.clock.Now(), 1) {
		now, waiting := c.quota.now()
		c.log.Warn("consumer groups have reached their limits, and no unused group can be evicted or too many requests wait already. Clients will retry; raise groups.max_groups or groups.max_metadata_bytes",
			"groups", now.groups, "max_groups", c.cfg.Groups, "bytes", now.bytes, "max_metadata_bytes", c.cfg.MetadataBytes,
			"asked_groups", cl.need.groups, "asked_bytes", cl.need.bytes, "waiting", waiting)
	}
	cl.refuse(kerr.CoordinatorNotAvailable.Code)
}

// outcome is the result of evicting a victim.
type outcome int

const (
	removed   outcome = iota // by us or by others
	used                     // in use again
	unwritten                // the store could not delete it
	outcomes
)

// evict evicts victims and counts the outcomes.
func (c *Coordinator) evict(victims []victim) (n [outcomes]int) {
	done := make(chan outcome, len(victims))
	for _, v := range victims {
		if !c.post(v.lane, func(l *lane) { l.evict(v, func(o outcome) { done <- o }) }) {
			done <- unwritten
		}
	}
	for range victims {
		n[<-done]++
	}
	return n
}

// victims collects from all lanes the groups unused the longest, as many as may be needed, and
// returns them with what all evictable groups together would free.
func (c *Coordinator) victims(need amount) (first []victim, can amount) {
	most := need.groups
	if need.bytes > 0 {
		most = max(most, int(min(atOnce, need.bytes/perGroup+1))) // each frees at least that much
	}
	most = min(most, atOnce)
	type answer struct {
		first []victim
		can   amount
	}
	found := make(chan answer, len(c.lanes))
	for _, l := range c.lanes {
		if !c.post(l, func(l *lane) { found <- answer{l.oldest(most), l.spare} }) {
			found <- answer{}
		}
	}
	for range c.lanes {
		a := <-found
		first, can = append(first, a.first...), can.plus(a.can)
	}
	slices.SortFunc(first, victim.before)
	return first[:min(most, len(first))], can
}

// first returns as many victims as are needed.
func first(victims []victim, need amount) []victim {
	n := 0
	for freed := (amount{}); n < len(victims) && !need.minus(freed).positive().none(); n++ {
		freed = freed.plus(amount{1, victims[n].bytes})
	}
	return victims[:n]
}

// oldest returns the first n evictable groups of the lane.
func (l *lane) oldest(n int) []victim {
	var first []victim
	for range min(n, len(l.unused)) {
		first = append(first, heap.Pop(&l.unused).(*laneGroup).victim)
	}
	for _, v := range first {
		heap.Push(&l.unused, l.groups[v.name])
	}
	return first
}

// evict evicts a group unless it is in use again.
func (l *lane) evict(v victim, done func(outcome)) {
	e, ok := l.groups[v.name]
	if !ok {
		done(removed) // by another request
		return
	}
	if since, ok := e.unused(); !ok || since != v.unused {
		done(used)
		return
	}
	offsets := e.kept.offsets
	e.evicting = func() { l.c.evicted(v, offsets) }
	on := func(eff rebalance.Effect) {
		e.evicting = nil
		if eff.(rebalance.Answer).Code == 0 {
			done(removed)
		} else {
			done(unwritten)
		}
	}
	l.step(e, rebalance.Delete{To: l.expect(waiter{on, func(int16) { done(unwritten) }})})
}

// evicted counts and logs an eviction.
func (c *Coordinator) evicted(v victim, offsets int) {
	if v.blank { // only its client knows of it, and asks again
		c.metrics.forgotten.Inc()
		c.log.Debug("dropped a group that nobody has joined yet, to free memory", "group", v.name)
		return
	}
	c.metrics.evicted.Inc()
	if !c.evictLog.AllowN(c.clock.Now(), 1) {
		c.unsaid.Add(1)
		return
	}
	c.log.Warn("evicted the consumer group unused the longest, with its offsets, to free memory",
		"group", v.name, "unused_since", time.UnixMilli(v.sinceMs).UTC(), "offsets", offsets, "not_logged_before", c.unsaid.Swap(0))
}

// rank updates the group's position among evictable groups, their total, and the count of
// groups with members.
func (l *lane) rank(e *laneGroup) {
	host := ""
	if !e.gone {
		host = e.g.Host()
	}
	if host != e.host {
		l.c.hosts.move(e.host, host)
		e.host = host
	}
	since, ok := e.unused()
	v := victim{since, e.name, l, e.charged.bytes}
	if e.rank >= 0 {
		l.spare = l.spare.minus(amount{1, e.victim.bytes})
	}
	if ok {
		l.spare = l.spare.plus(amount{1, v.bytes})
	}
	switch {
	case !ok && e.rank < 0:
	case !ok:
		heap.Remove(&l.unused, e.rank)
	case e.rank < 0:
		e.victim = v
		heap.Push(&l.unused, e)
	case e.victim != v:
		e.victim = v
		heap.Fix(&l.unused, e.rank)
	}
}

// ranking is a heap of the evictable groups, the first victim on top.
type ranking []*laneGroup

func (r ranking) Len() int           { return len(r) }
func (r ranking) Less(i, j int) bool { return r[i].victim.before(r[j].victim) < 0 }
func (r ranking) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].rank, r[j].rank = i, j
}

// Push implements heap.Interface.
func (r *ranking) Push(x any) {
	e := x.(*laneGroup)
	e.rank = len(*r)
	*r = append(*r, e)
}

// Pop implements heap.Interface.
func (r *ranking) Pop() any {
	last := len(*r) - 1
	e := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	e.rank = -1
	return e
}
