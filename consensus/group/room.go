package group

import (
	"slices"
	"sync"
)

// amount is so many groups and bytes.
type amount struct {
	groups int
	bytes  int64
}

func (a amount) plus(b amount) amount  { return amount{a.groups + b.groups, a.bytes + b.bytes} }
func (a amount) minus(b amount) amount { return amount{a.groups - b.groups, a.bytes - b.bytes} }

// positive is a without what is below zero.
func (a amount) positive() amount { return amount{max(0, a.groups), max(0, a.bytes)} }

func (a amount) none() bool { return a == amount{} }

// room is the bound on groups and on what they take, and its one owner. What is used is
// the sum of
//
//   - what each group of the lanes is charged (entry.charged),
//   - what a lane holds for the task that it is at (lane.held),
//   - what was granted to a claim that its lane has not come to yet.
//
// A claim waits here for others to make room. Claims are served in their order, and what
// comes later does not pass them.
type room struct {
	limit amount
	most  int           // how many claims may wait
	wake  chan struct{} // capacity 1: there may be something to grant, or to evict

	mu      sync.Mutex
	used    amount
	waiting []*claim
	closed  bool
}

// claim is a request that waits for room.
type claim struct {
	need   amount
	lane   *lane
	entry  *entry // its group, which nobody removes meanwhile; nil: there is none yet
	run    task   // begins anew, with the lane holding need
	refuse func(code int16)
}

func newRoom(limit amount, most int) *room {
	return &room{limit: limit, most: most, wake: make(chan struct{}, 1)}
}

// fits reports whether n more can be used. What n does not ask for may be over its limit.
func (r *room) fits(n amount) bool {
	return (n.groups <= 0 || r.used.groups+n.groups <= r.limit.groups) &&
		(n.bytes <= 0 || r.used.bytes+n.bytes <= r.limit.bytes)
}

// take uses n if it fits and nobody waits.
func (r *room) take(n amount) bool {
	if n.none() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 || !r.fits(n) {
		return false
	}
	r.used = r.used.plus(n)
	return true
}

// adjust changes what is used, whatever the limit.
func (r *room) adjust(n amount) {
	if n.none() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = r.used.plus(n)
	if len(r.waiting) > 0 && (n.groups < 0 || n.bytes < 0) {
		r.poke()
	}
}

func (r *room) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// wait has c served when there is room. It reports false if too many wait, or nobody
// serves any more.
func (r *room) wait(c *claim) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.waiting) >= r.most {
		return false
	}
	r.waiting = append(r.waiting, c)
	r.poke()
	return true
}

// grant returns the first claims, as far as they fit, which are charged then.
func (r *room) grant() []*claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.waiting) && r.fits(r.waiting[n].need) {
		r.used = r.used.plus(r.waiting[n].need)
		n++
	}
	granted := slices.Clone(r.waiting[:n])
	r.waiting = slices.Delete(r.waiting, 0, n)
	return granted
}

// giveUp returns all claims: those that fit, which are charged then, and the others.
func (r *room) giveUp() (granted, refused []*claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.waiting {
		if r.fits(c.need) {
			r.used = r.used.plus(c.need)
			granted = append(granted, c)
		} else {
			refused = append(refused, c)
		}
	}
	r.waiting = nil
	return granted, refused
}

// close returns the claims that wait. None waits after it.
func (r *room) close() []*claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	left := r.waiting
	r.waiting = nil
	return left
}

// lacks returns what has to go so that all that wait fit, and that there is no more than
// may be.
func (r *room) lacks() amount {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.used
	for _, c := range r.waiting {
		all = all.plus(c.need)
	}
	return all.minus(r.limit).positive()
}

// plan returns what has to go of what can, and the claims that would not fit even if all
// of it went: nothing is to go for these.
func (r *room) plan(can amount) (need amount, hopeless []*claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.used
	var left []*claim
	for _, c := range r.waiting {
		over := all.plus(c.need).minus(r.limit)
		if c.need.groups > 0 && over.groups > can.groups || c.need.bytes > 0 && over.bytes > can.bytes {
			hopeless = append(hopeless, c)
			continue
		}
		all = all.plus(c.need)
		left = append(left, c)
	}
	r.waiting = left
	return all.minus(r.limit).positive(), hopeless
}

// now returns what is used and how many claims wait.
func (r *room) now() (used amount, waiting int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used, len(r.waiting)
}
