package idempotence

import (
	"container/heap"
	"sync"
)

// Table is the memory of all partitions of a broker. Its producers are kept in
// buckets by the second of their last batch, so that the longest idle of all
// partitions is found, and an active producer costs a move once a second. Safe for
// concurrent use: lock guards what is in the table and in its Producers.
type Table struct {
	lock    sync.Mutex
	limit   int64
	used    int64
	buckets map[int64]*bucket // by second
	seconds seconds           // of the buckets, and of some that are gone
	newest  *bucket           // that was put into last, or nil
	ids     int64
	evicted int64
	expired int64
}

// NewTable returns an empty table that takes at most limit bytes.
func NewTable(limit int64) *Table { return &Table{limit: limit, buckets: make(map[int64]*bucket)} }

// Open returns the state of one more partition, which knows no producer yet.
func (t *Table) Open() *Producers { return &Producers{table: t, m: make(map[int64]*producer)} }

// OpenLoading is Open of a partition with snapshots that are not read yet, of ids from
// first to last, about so many: until Loaded is called it takes no batch that they may
// tell of.
func (t *Table) OpenLoading(first, last int64, about int) *Producers {
	about = min(about, int(t.limit/producerBytes))
	return &Producers{table: t, m: make(map[int64]*producer, about), loading: true, first: first, last: last}
}

// Stats is what is in a table, and what is no more.
type Stats struct {
	Bytes, Limit int64
	IDs          int64 // that are known; one that writes to two partitions counts twice
	Evicted      int64 // had to make room before their time
	Expired      int64 // were idle for the expiration
}

// Stats returns what is in the table now.
func (t *Table) Stats() Stats {
	t.lock.Lock()
	defer t.lock.Unlock()
	return Stats{t.used, t.limit, t.ids, t.evicted, t.expired}
}

// Expire forgets producers whose last batch was appended before then (ms).
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

// chunk is for how many producers the lock is held at once.
const chunk = 512

// What one producer is charged: the record with its place in the map, and the room
// for the batches before the last, once there are any; and a bucket.
const (
	producerBytes = 112
	earlierBytes  = 64
	bucketBytes   = 96
)

// producer is one producer id of one partition. Most ids of a flood write one batch,
// so the others are kept apart.
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

// batch is one batch that is remembered.
type batch struct {
	base        int64
	first, last int32
}

// bucket has the producers whose last batch was appended in one second, in the order
// in which they came in. It is never empty.
type bucket struct {
	second      int64
	first, last *producer
}

func secondOf(ms int64) int64 { return ms / 1000 }

// oldest returns the bucket of the longest idle; nil if there is none.
func (t *Table) oldest() *bucket {
	for len(t.seconds) > 0 {
		if b := t.buckets[t.seconds[0]]; b != nil {
			return b
		}
		heap.Pop(&t.seconds)
	}
	return nil
}

// room makes room for n bytes more, at the expense of those that are idle since before
// ms, the longest first, but not of keep. It reports false where that is not enough.
func (t *Table) room(n, ms int64, keep *producer) bool {
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

// put places p by the time of its last batch.
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

// cut takes p out of its bucket.
func (t *Table) cut(p *producer) {
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

// tidy drops seconds whose buckets are gone, when they are most of them.
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

// wrote notes when the last batch of p was appended.
func (t *Table) wrote(p *producer, ms int64) {
	if secondOf(ms) == secondOf(p.appendedMs) {
		p.appendedMs = ms
		return
	}
	t.cut(p)
	p.appendedMs = ms
	t.put(p)
}

// remove forgets p.
func (t *Table) remove(p *producer) {
	t.cut(p)
	delete(p.of.m, p.id)
	t.used -= producerBytes
	if p.earlier != nil {
		t.used -= earlierBytes
	}
	t.ids--
}

// seconds is a heap, the least first.
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
