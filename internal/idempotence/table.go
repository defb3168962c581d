package idempotence

import (
	"container/heap"
	"sync"
)

// Table is the memory of all partitions of a broker. Its producers are in buckets
// by the second of their last batch, so that the one idle for longest is found
// quickly, and an active producer is moved at most once per second. Safe for
// concurrent use: lock guards the table and its Producers.
type Table struct {
	lock    sync.Mutex
	limit   int64
	used    int64
	buckets map[int64]*bucket // by second
	seconds seconds           // of the buckets, and of some removed ones
	newest  *bucket           // bucket that was last added to, or nil
	ids     int64
	evicted int64
	expired int64
}

// NewTable returns an empty table of at most limit bytes.
func NewTable(limit int64) *Table { return &Table{limit: limit, buckets: make(map[int64]*bucket)} }

// Open returns the state of one more partition, without any producers yet.
func (t *Table) Open() *Producers { return &Producers{table: t, m: make(map[int64]*producer)} }

// OpenLoading is Open for a partition with unread snapshots, of about about IDs
// from first to last: until Loaded is called it refuses batches that they may
// know of.
func (t *Table) OpenLoading(first, last int64, about int) *Producers {
	about = min(about, int(t.limit/producerBytes))
	return &Producers{table: t, m: make(map[int64]*producer, about), loading: true, first: first, last: last}
}

// Stats describes the content of a table, and what was removed.
type Stats struct {
	Bytes, Limit int64
	IDs          int64 // known IDs; one that writes to two partitions counts twice
	Evicted      int64 // removed for lack of memory
	Expired      int64 // removed after the expiration time
}

// Stats returns the current values.
func (t *Table) Stats() Stats {
	t.lock.Lock()
	defer t.lock.Unlock()
	return Stats{t.used, t.limit, t.ids, t.evicted, t.expired}
}

// Expire removes producers whose last batch was appended before then (ms).
func (t *Table) Expire(before int64) {
	for more := true; more; {
		t.lock.Lock()
		for range chunk {
			b := t.oldest()
			if more = b != nil && b.first.appendedMs < before; !more {
				break
			}
			t.expired++
			t.remove(b.first)
		}
		t.lock.Unlock()
	}
}

// chunk is how many producers are processed while holding the lock.
const chunk = 512

// What one producer is charged: its struct with its map entry, and the batches
// before the last, once there are any; and a bucket.
const (
	producerBytes = 112
	earlierBytes  = 64
	bucketBytes   = 96
)

// producer is one producer ID of one partition. In a flood most IDs write a
// single batch, so the earlier ones are allocated separately.
type producer struct {
	id         int64
	of         *Producers
	prev, next *producer // in the bucket
	appendedMs int64     // of the last batch
	last       batch
	earlier    *[Remembered - 1]batch // oldest first, n-1 in use; nil while n is 1
	epoch      int16
	n          int8 // of batches
}

// batch is one remembered batch.
type batch struct {
	base        int64
	first, last int32
}

// bucket holds the producers whose last batch was appended in one second, in
// order of arrival. It is never empty.
type bucket struct {
	second      int64
	first, last *producer
}

func secondOf(ms int64) int64 { return ms / 1000 }

// oldest returns the bucket of the producer idle for longest, or nil.
func (t *Table) oldest() *bucket {
	for len(t.seconds) > 0 {
		if b := t.buckets[t.seconds[0]]; b != nil {
			return b
		}
		heap.Pop(&t.seconds)
	}
	return nil
}

// makeRoom frees n bytes by removing producers idle since before ms, longest idle
// first, except keep. It reports whether that was enough.
func (t *Table) makeRoom(n, ms int64, keep *producer) bool {
	for t.used+n > t.limit {
		b := t.oldest()
		if b == nil || b.second > secondOf(ms) {
			return false
		}
		idle := b.first
		if idle == keep {
			if idle = idle.next; idle == nil {
				return false
			}
		}
		t.evicted++
		t.remove(idle)
	}
	return true
}

// put adds p to the bucket of its last batch.
func (t *Table) put(p *producer) {
	second := secondOf(p.appendedMs)
	b := t.newest
	if b == nil || b.second != second {
		if b = t.buckets[second]; b == nil {
			b = &bucket{second: second}
			t.buckets[second] = b
			t.used += bucketBytes
			heap.Push(&t.seconds, second)
		}
		t.newest = b
	}
	if p.prev, p.next = b.last, nil; p.prev != nil {
		p.prev.next = p
	} else {
		b.first = p
	}
	b.last = p
}

// unlink removes p from its bucket.
func (t *Table) unlink(p *producer) {
	b := t.buckets[secondOf(p.appendedMs)]
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		b.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		b.last = p.prev
	}
	p.prev, p.next = nil, nil
	if b.first != nil {
		return
	}
	delete(t.buckets, b.second)
	t.used -= bucketBytes
	if t.newest == b {
		t.newest = nil
	}
	t.tidy()
}

// tidy drops stale seconds once they are the majority.
func (t *Table) tidy() {
	if len(t.seconds) < 2*len(t.buckets)+64 {
		return
	}
	t.seconds = t.seconds[:0]
	for s := range t.buckets {
		t.seconds = append(t.seconds, s)
	}
	heap.Init(&t.seconds)
}

// wrote records when the last batch of p was appended.
func (t *Table) wrote(p *producer, ms int64) {
	if secondOf(ms) == secondOf(p.appendedMs) {
		p.appendedMs = ms
		return
	}
	t.unlink(p)
	p.appendedMs = ms
	t.put(p)
}

// remove forgets p.
func (t *Table) remove(p *producer) {
	t.unlink(p)
	delete(p.of.m, p.id)
	t.used -= producerBytes
	if p.earlier != nil {
		t.used -= earlierBytes
	}
	t.ids--
}

// seconds is a min-heap.
type seconds []int64

func (s seconds) Len() int           { return len(s) }
func (s seconds) Less(i, j int) bool { return s[i] < s[j] }
func (s seconds) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *seconds) Push(x any)        { *s = append(*s, x.(int64)) }
func (s *seconds) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	*s = (*s)[:last]
	return x
}
