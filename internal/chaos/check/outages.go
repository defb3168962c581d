package check

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Outages measures how long each partition goes without an acknowledgement. It is safe for
// concurrent use.
type Outages struct {
	mu         sync.Mutex
	now        func() time.Time
	partitions []outage
}

type outage struct {
	last    time.Time
	acks    int64
	longest time.Duration
}

// NewOutages starts the first period. now is a monotonic clock.
func NewOutages(partitions int, now func() time.Time) *Outages {
	o := &Outages{now: now, partitions: make([]outage, partitions)}
	o.Begin()
	return o
}

// Begin starts a new period.
func (o *Outages) Begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	for i := range o.partitions {
		o.partitions[i] = outage{last: now}
	}
}

// Acked notes an acknowledgement.
func (o *Outages) Acked(p int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, s := o.now(), &o.partitions[p]
	s.longest = max(s.longest, now.Sub(s.last))
	s.last, s.acks = now, s.acks+1
}

// Longest returns each partition's longest time without an acknowledgement since the period
// began, including the one that has not ended.
func (o *Outages) Longest() []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, out := o.now(), make([]time.Duration, len(o.partitions))
	for i, s := range o.partitions {
		out[i] = max(s.longest, now.Sub(s.last))
	}
	return out
}

// Flowing reports whether every partition had an acknowledgement in this period, the last one
// within d.
func (o *Outages) Flowing(d time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	return !slices.ContainsFunc(o.partitions, func(s outage) bool { return s.acks == 0 || now.Sub(s.last) > d })
}

// Distribution of durations.
type Distribution struct {
	Count         int
	P50, P99, Max time.Duration
}

// Distribute computes percentiles by nearest rank: each is a value that occurred.
func Distribute(values []time.Duration) Distribution {
	if len(values) == 0 {
		return Distribution{}
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := func(q float64) time.Duration { return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)] }
	return Distribution{len(sorted), rank(0.50), rank(0.99), sorted[len(sorted)-1]}
}
