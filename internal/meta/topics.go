package meta

import (
	"encoding/binary"
	"hash/maphash"
	"iter"

	"github.com/sluicemq/sluice/internal/topic"
)

// topics is an immutable set of topics by ID and by name. A changed set shares with the one
// before it every bucket that the change does not touch, so a change costs the copy of two
// arrays of pointers and of a few buckets, whatever the number of topics.
type topics struct {
	n      int
	byID   index[topic.ID]
	byName index[string]
}

// buckets is how many parts an index has. It is a power of two. With 100,000 topics a bucket
// holds about 100.
const buckets = 1024

type bucket[K comparable] struct{ m map[K]*Topic }

type index[K comparable] [buckets]*bucket[K]

var seed = maphash.MakeSeed()

func bucketOfName(name string) uint64 { return maphash.String(seed, name) % buckets }

// bucketOfID relies on IDs being random.
func bucketOfID(id topic.ID) uint64 { return uint64(binary.BigEndian.Uint16(id[:])) % buckets }

func (x *index[K]) get(at uint64, key K) (*Topic, bool) {
	b := x[at]
	if b == nil {
		return nil, false
	}
	t, ok := b.m[key]
	return t, ok
}

// own returns a bucket of x that may be written: one that is not shared with before.
func (x *index[K]) own(before *index[K], at uint64) map[K]*Topic {
	if x[at] != nil && x[at] != before[at] {
		return x[at].m
	}
	b := &bucket[K]{m: make(map[K]*Topic)}
	if before[at] != nil {
		for k, t := range before[at].m {
			b.m[k] = t
		}
	}
	x[at] = b
	return b.m
}

// with returns the set with some topics put, in place of those with the same ID, and others
// removed. A name may move from a removed topic to one that is put.
func (s *topics) with(put []*Topic, removed []topic.ID) *topics {
	next := &topics{n: s.n, byID: s.byID, byName: s.byName}
	for _, id := range removed {
		t, ok := next.byID.get(bucketOfID(id), id)
		if !ok {
			continue
		}
		next.n--
		delete(next.byID.own(&s.byID, bucketOfID(id)), id)
		delete(next.byName.own(&s.byName, bucketOfName(t.Name)), t.Name)
	}
	for _, t := range put {
		if _, ok := next.byID.get(bucketOfID(t.ID), t.ID); !ok {
			next.n++
		}
		next.byID.own(&s.byID, bucketOfID(t.ID))[t.ID] = t
		next.byName.own(&s.byName, bucketOfName(t.Name))[t.Name] = t
	}
	return next
}

func (s *topics) all() iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		for _, b := range &s.byID {
			if b == nil {
				continue
			}
			for _, t := range b.m {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// changedFrom yields each topic that differs from before's: as it was, nil if it is new, and as
// it is, nil if it is gone. Sets that share buckets are compared quickly.
func (s *topics) changedFrom(before *topics) iter.Seq2[*Topic, *Topic] {
	return func(yield func(was, is *Topic) bool) {
		for at, b := range &s.byID {
			old := before.byID[at]
			if b == old {
				continue
			}
			if old != nil {
				for id, was := range old.m {
					if is, _ := s.byID.get(uint64(at), id); is != was && !yield(was, is) {
						return
					}
				}
			}
			if b == nil {
				continue
			}
			for id, is := range b.m {
				if _, known := before.byID.get(uint64(at), id); !known && !yield(nil, is) {
					return
				}
			}
		}
	}
}
