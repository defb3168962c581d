package replica

import (
	"slices"
	"sync"

	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// outbox has the replicas with something for one follower, each once, in turn.
type outbox struct {
	mu    sync.Mutex
	ready []*replica
	in    map[*replica]struct{}
}

// add reports whether r was added.
func (o *outbox) add(r *replica) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.in[r]; ok {
		return false
	}
	o.in[r] = struct{}{}
	o.ready = append(o.ready, r)
	return true
}

func (o *outbox) next() *replica {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ready) == 0 {
		return nil
	}
	r := o.ready[0]
	o.ready[0] = nil
	o.ready = o.ready[1:]
	delete(o.in, r)
	return r
}

func (s *Set) outboxOf(broker int32) *outbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.out[broker]
	if o == nil {
		o = &outbox{in: make(map[*replica]struct{})}
		s.out[broker] = o
	}
	return o
}

// wake puts r into the outboxes of the followers that it has something for.
// REQUIRES: the lane is locked.
func (r *replica) wake() {
	for _, b := range r.r.Replicas() {
		if _, _, ok := r.r.Unsent(b); ok && r.set.outboxOf(b).add(r) {
			r.set.Peers.Wake(b)
		}
	}
}

// Next returns what to send to a follower next: at most limit bytes of batches, or
// one batch.
func (s *Set) Next(to int32, limit int) (p topic.Partition, h replication.Records, data [][]byte, release func(), ok bool) {
	o := s.outboxOf(to)
	for r := o.next(); r != nil; r = o.next() {
		if h, data, release, ok = r.next(to, limit); ok {
			return r.state.ID, h, data, release, true
		}
	}
	return topic.Partition{}, replication.Records{}, nil, nil, false
}

// next returns what to send of one partition.
func (r *replica) next(to int32, limit int) (h replication.Records, data [][]byte, release func(), ok bool) {
	lane := &r.state.Lane
	lane.Lock()
	from, end, ok := r.r.Unsent(to)
	if !ok {
		lane.Unlock()
		return h, nil, nil, false
	}
	part, disk := r.find(from, end)
	lane.Unlock()
	if disk.Count > 0 { // without the lock
		part = r.read(disk)
	}
	taken := part.from(from, limit)

	lane.Lock()
	defer lane.Unlock()
	again, _, ok := r.r.Unsent(to)
	if !ok || again != from || taken.end <= from && end > from && from >= r.r.Log().Start {
		// It has restarted, or the records cannot be read now.
		part.release()
		if ok && again != from {
			r.wake()
		}
		return h, nil, nil, false
	}
	h, ok = r.r.Send(to, max(0, taken.end-from))
	out := r.act() // a Restart, and what is to be sent after this
	if len(out) > 0 || !ok {
		part.release()
		return h, nil, nil, false
	}
	if h.End > h.Base {
		data = [][]byte{taken.bytes}
	}
	return h, data, part.release, true
}

// find returns what holds offset from: a chunk that is being written, or the entry
// of the tail index. REQUIRES: the lane is locked.
func (r *replica) find(from, end int64) (c chunk, disk partition.Entry) {
	if from == end {
		return chunk{}, disk
	}
	at, _ := slices.BinarySearchFunc(r.recent, from, func(c chunk, from int64) int {
		if c.end <= from {
			return -1
		}
		return 1
	})
	if at < len(r.recent) && r.recent[at].base <= from {
		c = r.recent[at]
		c.image.Retain()
		return c, disk
	}
	disk, _ = r.state.Tail.At(from)
	return chunk{}, disk
}

// read returns the batches of an entry of the tail index; none if they cannot be
// read.
func (r *replica) read(e partition.Entry) chunk {
	if image, ok := r.set.Images.Get(e.Group); ok {
		at := int(e.Position - e.Group)
		return chunk{base: e.Base, end: e.End(), image: image, bytes: image.Bytes()[at : at+int(e.Size)]}
	}
	bytes := make([]byte, e.Size)
	if err := r.set.Deps.Log.ReadAt(r.set.life, e, bytes); err != nil {
		r.set.Logger.Error("cannot read records for a follower", "partition", r.state.ID, "offset", e.Base, "err", err)
		return chunk{}
	}
	return chunk{base: e.Base, end: e.End(), bytes: bytes}
}

func (c chunk) release() {
	if c.image != nil {
		c.image.Release()
	}
}

// from returns the batches from offset from on, at most limit bytes of them or one.
func (c chunk) from(from int64, limit int) chunk {
	start, at := 0, 0
	out := chunk{base: from, end: from}
	for at < len(c.bytes) {
		b, _, err := record.Next(c.bytes[at:])
		if err != nil {
			break
		}
		if b.BaseOffset() < from {
			at += len(b)
			start = at
			continue
		}
		if at > start && at+len(b)-start > limit {
			break
		}
		at += len(b)
		out.end = b.NextOffset()
	}
	out.bytes = c.bytes[start:at:at]
	return out
}
