package wal

import (
	"sync"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/topic"
)

// Done reports whether the log may lose what a partition has below offset end:
// it is in objects and readers look for it there, or its topic's deletion is on
// record. What is done stays done. It is called often and must not block.
type Done func(p topic.Partition, end int64) bool

// offsets is a range of a partition, end excluded.
type offsets struct{ base, end int64 }

// owed is what a segment holds that is not done yet: the range of each partition,
// from the moment its group has a place. A truncation takes back the end of a
// range. The zero value is empty.
type owed struct {
	mu     sync.Mutex
	ranges map[topic.Partition]offsets
}

// add notes what g writes.
func (o *owed) add(g *flow.Group) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := g.InOrder()
	for i := 0; i < len(all); { // one note for a run of a partition
		first, last := all[i], all[i]
		for i++; i < len(all) && all[i].Partition == first.Partition; i++ {
			last = all[i]
		}
		o.note(first.Partition, first.BaseOffset, last.BaseOffset+int64(last.Batch.LastOffsetDelta())+1)
	}
}

// recovered notes a batch that was found.
func (o *owed) recovered(p topic.Partition, base, end int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.note(p, base, end)
}

// note widens the range of p. Its batches come in order, but for those behind a
// truncation, which begin at or below its end. Holds mu.
func (o *owed) note(p topic.Partition, base, end int64) {
	if o.ranges == nil {
		o.ranges = make(map[topic.Partition]offsets)
	}
	r, ok := o.ranges[p]
	if !ok {
		r.base = base
	}
	o.ranges[p] = offsets{min(r.base, base), max(r.end, end)}
}

// truncate takes back what p has from offset on.
func (o *owed) truncate(p topic.Partition, offset int64) {
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

// settled drops the ranges that are done and reports whether none is left. It stops
// at the first that is not, so that it costs little to ask again.
func (o *owed) settled(done Done) bool {
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

// clear forgets all.
func (o *owed) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ranges = nil
}
