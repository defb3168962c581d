package wal

import (
	"sync"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/topic"
)

// Done reports whether the log may drop what a partition has below offset end: it
// is in objects and readers look for it there, or its topic's deletion has been
// recorded. What is done stays done. Done is called often and must not block.
type Done func(p topic.Partition, end int64) bool

// offsets is an offset range of a partition, end excluded.
type offsets struct{ base, end int64 }

// pending tracks what a segment holds that is not done yet: one range per partition,
// from the moment a group gets its position. A truncation removes the end of a
// range. The zero value is empty.
type pending struct {
	mu     sync.Mutex
	ranges map[topic.Partition]offsets
}

// add records what g writes.
func (o *pending) add(g *flow.Group) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := g.InOrder()
	for i := 0; i < len(all); { // one range for adjacent batches of a partition
		first, last := all[i], all[i]
		for i++; i < len(all) && all[i].Partition == first.Partition; i++ {
			last = all[i]
		}
		o.note(first.Partition, first.BaseOffset, last.BaseOffset+int64(last.Batch.LastOffsetDelta())+1)
	}
}

// recovered records a recovered batch.
func (o *pending) recovered(p topic.Partition, base, end int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.note(p, base, end)
}

// note widens the range of p. Batches come in order, except after a truncation,
// where they begin at or below the end. Holds mu.
func (o *pending) note(p topic.Partition, base, end int64) {
	if o.ranges == nil {
		o.ranges = make(map[topic.Partition]offsets)
	}
	r, ok := o.ranges[p]
	if !ok {
		r.base = base
	}
	o.ranges[p] = offsets{min(r.base, base), max(r.end, end)}
}

// truncate removes what p has from offset on.
func (o *pending) truncate(p topic.Partition, offset int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.ranges[p]
	switch {
	case !ok || r.end <= offset:
	case r.base >= offset:
		delete(o.ranges, p)
	default:
		o.ranges[p] = offsets{r.base, offset}
	}
}

// dropDone drops the ranges that are done and reports whether none is left. It
// stops at the first that is not, so that it is cheap to call again.
func (o *pending) dropDone(done Done) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, r := range o.ranges {
		if !done(p, r.end) {
			return false
		}
		delete(o.ranges, p)
	}
	return true
}

func (o *pending) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ranges = nil
}
