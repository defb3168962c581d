package group

import (
	"slices"
	"sync"
)

// amount is a number of groups and bytes.
type amount struct {
	groups int
	bytes  int64
}

func (a amount) plus(b amount) amount  { return amount{a.groups + b.groups, a.bytes + b.bytes} }
func (a amount) minus(b amount) amount { return amount{a.groups - b.groups, a.bytes - b.bytes} }

// positive returns a with negative parts set to 0.
func (a amount) positive() amount { return amount{max(0, a.groups), max(0, a.bytes)} }

func (a amount) none() bool { return a == amount{} }

// quota limits the number of groups and their memory. It is the only owner of these limits. What
// is used is the sum of
//
//   - what each group of the lanes is charged (laneGroup.charged),
//   - what a lane has reserved for its current task (lane.held),
//   - what was granted to claims that their lanes have not resumed yet.
//
// A claim waits here until others are evicted. Claims are served in order, and later requests
// do not overtake them.
type quota struct {
	limit amount
	most  int           // maximum number of waiting claims
	wake  chan struct{} // capacity 1: something to grant, or to evict

	mu      sync.Mutex
	used    amount
	waiting []*claim
	closed  bool
}

// claim is a request that waits for the quota.
type claim struct {
	need   amount
	lane   *lane
	group  *laneGroup // its group, which cannot be evicted meanwhile; nil: none yet
	run    task       // starts over, with need reserved on the lane
	refuse func(code int16)
}

func newQuota(limit amount, most int) *quota {
	return &quota{limit: limit, most: most, wake: make(chan struct{}, 1)}
}

// fits reports whether n more fits. A limit that n does not need may be exceeded.
func (q *quota) fits(n amount) bool {
	return (n.groups <= 0 || q.used.groups+n.groups <= q.limit.groups) &&
		(n.bytes <= 0 || q.used.bytes+n.bytes <= q.limit.bytes)
}

// take reserves n if it fits and nobody waits.
func (q *quota) take(n amount) bool {
	if n.none() {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 || !q.fits(n) {
		return false
	}
	q.used = q.used.plus(n)
	return true
}

// adjust changes the usage, whatever the limits.
func (q *quota) adjust(n amount) {
	if n.none() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used = q.used.plus(n)
	if len(q.waiting) > 0 && (n.groups < 0 || n.bytes < 0) {
		q.poke()
	}
}

func (q *quota) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// wait queues c until it fits. It returns false if too many wait, or after close.
func (q *quota) wait(c *claim) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) >= q.most {
		return false
	}
	q.waiting = append(q.waiting, c)
	q.poke()
	return true
}

// grant removes and charges the first claims, as far as they fit.
func (q *quota) grant() []*claim {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.waiting) && q.fits(q.waiting[n].need) {
		q.used = q.used.plus(q.waiting[n].need)
		n++
	}
	granted := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	return granted
}

// giveUp removes all claims: those that fit, which are charged, and the others.
func (q *quota) giveUp() (granted, refused []*claim) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.waiting {
		if q.fits(c.need) {
			q.used = q.used.plus(c.need)
			granted = append(granted, c)
		} else {
			refused = append(refused, c)
		}
	}
	q.waiting = nil
	return granted, refused
}

// close returns the waiting claims. None can wait afterwards.
func (q *quota) close() []*claim {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	left := q.waiting
	q.waiting = nil
	return left
}

// lacks returns what must be freed so that all waiting claims fit and the limits hold.
func (q *quota) lacks() amount {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.used
	for _, c := range q.waiting {
		all = all.plus(c.need)
	}
	return all.minus(q.limit).positive()
}

// plan returns what to free of can, and the claims that would not fit even if all of it were
// freed: nothing is freed for those.
func (q *quota) plan(can amount) (need amount, hopeless []*claim) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.used
	var left []*claim
	for _, c := range q.waiting {
		over := all.plus(c.need).minus(q.limit)
		if c.need.groups > 0 && over.groups > can.groups || c.need.bytes > 0 && over.bytes > can.bytes {
			hopeless = append(hopeless, c)
			continue
		}
		all = all.plus(c.need)
		left = append(left, c)
	}
	q.waiting = left
	return all.minus(q.limit).positive(), hopeless
}

// now returns the usage and the number of waiting claims.
func (q *quota) now() (used amount, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used, len(q.waiting)
}
