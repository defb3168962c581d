package machine

import (
	"maps"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
)

// object is the state of an object with partitions in the shard:
//
//	prepared   deadMs = 0, refs = 0; can be committed before expiryMs
//	live       deadMs = 0, refs > 0 from manifests and producer sections
//	dead       deadMs > 0: the time since when it is unreferenced, for good
//
// A dead object stays known until CollectObjects, so that a late commit is refused. It is
// garbage when it is dead or unknown in all its shards.
//
// An abandoned PUT may reach the store long after expiryMs and bring back a key that was
// deleted meanwhile. So an object deleted while that is still possible is marked deleted, not collected:
// it stays known, to be deleted once more.
type object struct {
	shards   uint64
	expiryMs int64
	refs     int32
	deadMs   int64
	deleted  bool // deleted while a PUT could be in progress; dead objects only
}

func layoutObject(c *coder, o *object) {
	c.uint64(&o.shards)
	c.int64(&o.expiryMs)
	c.int32(&o.refs)
	c.int64(&o.deadMs)
	c.bool(&o.deleted)
}

func (s *Shard) prepare(x *PrepareObject) Code {
	o := s.objects[x.ID]
	if o.deadMs > 0 {
		return Conflict
	}
	o.shards |= x.Shards
	o.expiryMs = max(o.expiryMs, x.ExpiryMs)
	s.objects[x.ID] = o
	return OK
}

// commit adds parts to manifests. A part is accepted if the object can still be committed, the
// leader epoch is current, the range continues the manifest at the tier end, or at a hole that
// is below the log start, and the objects of new producer sections can be committed as well; a part already in the
// manifest counts as accepted.
func (s *Shard) commit(x *CommitParts, ch *Changes) []Code {
	open := s.open(x.ID, x.NowMs)
	codes := make([]Code, len(x.Parts))
	for i := range x.Parts {
		codes[i] = s.commitPart(x.ID, open, &x.Parts[i], x.NowMs, ch)
	}
	return codes
}

// open reports whether manifests may still accept an object.
func (s *Shard) open(id meta.ObjectID, nowMs int64) bool {
	o, known := s.objects[id]
	return known && o.deadMs == 0 && (o.refs > 0 || nowMs < o.expiryMs)
}

func (s *Shard) commitPart(id meta.ObjectID, open bool, part *meta.CommitPart, nowMs int64, ch *Changes) Code {
	p, ok := s.topics[part.Partition.Topic][part.Partition.Index]
	switch {
	case !ok:
		return UnknownTopic
	case part.Ref.ID == id && slices.Contains(p.Objects, part.Ref):
		return OK // a repetition
	case !open, part.Ref.ID != id, !s.sectionsOpen(p.Producers.Sections, part.Producers.Sections, nowMs):
		return Conflict
	}
	r := replication.RecordOf(p)
	if part.Ref.Base > p.TierEnd && part.Ref.Base <= p.LogStart {
		r.TierEnd = part.Ref.Base // a hole below the log start, which a lost WAL can leave
	}
	r, err := r.CommitTier(part.Epoch, part.Ref.Base, part.Ref.End)
	if err != nil {
		return Conflict
	}
	s.exchange(p.Producers.Sections, part.Producers.Sections, nowMs)
	o := s.objects[id]
	o.refs++
	o.deadMs = 0 // an earlier part was below its log start and trimmed at once
	s.objects[id] = o
	next := *p
	r.Into(&next)
	next.Objects = append(p.Objects, part.Ref) // beyond the end of what readers hold
	next.Epochs, next.Producers = part.Epochs, part.Producers
	s.trim(&next, nowMs)
	s.put(part.Partition, &next, ch)
	return OK
}

// release drops one reference to an object.
func (s *Shard) release(id meta.ObjectID, nowMs int64) {
	o := s.objects[id]
	if o.refs--; o.refs == 0 {
		o.deadMs = max(1, nowMs)
	}
	s.objects[id] = o
}

func (s *Shard) expire(x *ExpireObjects) {
	for id, o := range s.objects {
		if o.expired(x.NowMs) {
			o.deadMs = max(1, x.NowMs)
			s.objects[id] = o
		}
	}
}

func (o object) expired(nowMs int64) bool {
	return o.deadMs == 0 && o.refs == 0 && o.expiryMs <= nowMs
}

func (s *Shard) markDeleted(x *MarkDeleted) {
	for _, id := range x.IDs {
		if o := s.objects[id]; o.deadMs > 0 {
			o.deleted = true
			s.objects[id] = o
		}
	}
}

func (s *Shard) collect(x *CollectObjects) {
	for _, id := range x.IDs {
		if s.objects[id].deadMs > 0 {
			delete(s.objects, id)
		}
	}
}

// HasExpired reports whether ExpireObjects at nowMs would change anything.
func (s *Shard) HasExpired(nowMs int64) bool {
	for _, o := range s.objects {
		if o.expired(nowMs) {
			return true
		}
	}
	return false
}

// DeadObject is an unreferenced object, and the shards it is in.
type DeadObject struct {
	ID       meta.ObjectID
	Shards   uint64
	ExpiryMs int64 // no PUT started later
	Deleted  bool  // deleted, but may have come back
}

// Dead returns the dead objects, by id.
func (s *Shard) Dead() []DeadObject {
	var dead []DeadObject
	for _, id := range slices.SortedFunc(maps.Keys(s.objects), func(a, b meta.ObjectID) int { return compareIDs(a, b) }) {
		if o := s.objects[id]; o.deadMs > 0 {
			dead = append(dead, DeadObject{id, o.shards, o.expiryMs, o.deleted})
		}
	}
	return dead
}

// Knows returns which of ids the shard has a record of, dead or not.
func (s *Shard) Knows(ids []meta.ObjectID) []meta.ObjectID {
	var known []meta.ObjectID
	for _, id := range ids {
		if _, ok := s.objects[id]; ok {
			known = append(known, id)
		}
	}
	return known
}
