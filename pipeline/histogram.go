package pipeline

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// bucketCount is the number of finite buckets of a [Histogram]. The first bound
// is 1.024 microseconds and each is twice the previous one: the last is 4.3
// seconds.
const bucketCount = 23

// bucketBound returns the inclusive upper bound of bucket i, starting at 0.
func bucketBound(i int) time.Duration { return 1024 << i }

// bucketOf returns the bucket of ns; bucketCount is the unbounded one.
func bucketOf(ns int64) int {
	if ns <= 1024 {
		return 0
	}
	return min(bits.Len64(uint64(ns-1))-10, bucketCount)
}

// Bucket counts the durations up to and including LE, cumulatively.
type Bucket struct {
	LE    time.Duration `json:"le_ns"`
	Count uint64        `json:"count"`
}

// Histogram is a snapshot of a distribution of durations.
type Histogram struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Buckets []Bucket      `json:"buckets"` // durations above the last bound are in Count only
}

// tally is a histogram guarded by its owner's lock.
type tally struct {
	sum     int64
	buckets [bucketCount + 1]uint64
}

func (h *tally) add(ns int64) {
	h.buckets[bucketOf(ns)]++
	h.sum += ns
}

func (h *tally) snapshot() Histogram {
	s := Histogram{Sum: time.Duration(h.sum), Buckets: make([]Bucket, bucketCount)}
	for i := range s.Buckets {
		s.Count += h.buckets[i]
		s.Buckets[i] = Bucket{bucketBound(i), s.Count}
	}
	s.Count += h.buckets[bucketCount]
	return s
}

// atomicTally is a histogram that many goroutines write to.
type atomicTally struct {
	sum     atomic.Int64
	buckets [bucketCount + 1]atomic.Uint64
}

func (h *atomicTally) add(ns int64) {
	h.buckets[bucketOf(ns)].Add(1)
	h.sum.Add(ns)
}

// addTo adds h's counts to t.
func (h *atomicTally) addTo(t *tally) {
	t.sum += h.sum.Load()
	for i := range h.buckets {
		t.buckets[i] += h.buckets[i].Load()
	}
}
