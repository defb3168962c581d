package replica

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
)

// Append appends the batches of a group to the logs of their partitions, before
// the group's image is made. Those whose lane has closed since they got their
// offsets are refused, and are not part of the group any more.
func (s *Set) Append(g *flow.Group) {
	all := g.InOrder()
	var refused []*flow.Append
	for i := 0; i < len(all); {
		n := i + 1
		for n < len(all) && all[n].State == all[i].State {
			n++
		}
		refused = s.appendTo(all[i].State, all[i:n], refused)
		i = n
	}
	for _, w := range g.Writes {
		for _, a := range w.Appends {
			if a.Duplicate && a.Err == nil {
				s.await(a)
			}
		}
	}
	g.Leave(refused)
}

// appendTo appends the batches of one partition, and adds those that it refuses to
// refused. An append in the log may be settled with an error as soon as the lane is
// unlocked, so its Err does not say whether it was refused.
func (s *Set) appendTo(state *partition.State, all, refused []*flow.Append) []*flow.Append {
	r, lane := s.of(state), &state.Lane
	lane.Lock()
	var settled []*flow.Append
	var now time.Time
	if r != nil && r.many {
		now = time.Now()
	}
	for _, a := range all {
		a.Replicated, a.Due = r != nil && r.many, now.Add(a.Timeout)
		if a.Follower && r != nil {
			continue // it is in the log since Records
		}
		if r == nil || !lane.Open || a.Epoch != lane.Epoch {
			a.Err, refused = replication.ErrNotLeader, append(refused, a)
			if a.Acks != flow.AcksNone {
				settled = append(settled, a)
			}
			continue
		}
		a.End = a.BaseOffset + int64(a.Batch.LastOffsetDelta()) + 1
		r.r.Append(a.End, replication.Acks(a.Acks), r.pending.add(a))
	}
	if r != nil {
		settled = append(settled, r.act()...)
	}
	lane.Unlock()
	settle(settled)
	return refused
}

// ErrTimedOut: the append is in the log here, and is not on enough other replicas yet. It may
// still be committed.
var ErrTimedOut = fault.Transient(kerr.RequestTimedOut, "the records are not on enough replicas within the request's timeout; they may still be committed")

// expire settles the appends that have waited for other replicas for too long. What is
// not on disk here may not be copied yet, and waits on. REQUIRES: the lane is locked.
func (r *replica) expire(now time.Time) (settled []*flow.Append) {
	durable := r.r.Log().Durable
	for i := r.pending.head; i < len(r.pending.appends); i++ {
		a := r.pending.appends[i]
		if a == nil || a.Due.After(now) || a.End > durable {
			continue
		}
		a.Err, r.pending.appends[i] = ErrTimedOut, nil
		settled = append(settled, a)
	}
	r.pending.shrink()
	return settled
}

// Imaged makes the records of a group whose image is made available to followers,
// while it is being written.
func (s *Set) Imaged(g *flow.Group) {
	if g.Image == nil || s.shared.Load() == 0 {
		return
	}
	all := g.InOrder()
	for i := 0; i < len(all); {
		n := i + 1
		for n < len(all) && all[n].State == all[i].State {
			n++
		}
		s.imaged(g, all[i:n])
		i = n
	}
}

func (s *Set) imaged(g *flow.Group, all []*flow.Append) {
	first, last := all[0], all[len(all)-1]
	r := s.of(first.State)
	if r == nil || first.Follower {
		return
	}
	r.state.Lane.Lock()
	defer r.state.Lane.Unlock()
	if !r.many {
		return
	}
	g.Image.Retain()
	r.recent = append(r.recent, chunk{base: first.BaseOffset, end: last.BaseOffset + int64(last.Batch.LastOffsetDelta()) + 1,
		image: g.Image, bytes: g.Image.Bytes()[first.At : last.At+len(last.Batch)]})
	r.wake()
}

// chunk is adjacent batches in an image.
type chunk struct {
	base, end int64
	image     *blockfs.Buffer
	bytes     []byte
}

// forget drops the chunks below offset end, which are in the cache; all if end is 0.
func (r *replica) forget(end int64) {
	n := 0
	for n < len(r.recent) && (end == 0 || r.recent[n].end <= end) {
		r.recent[n].image.Release()
		r.recent[n] = chunk{}
		n++
	}
	if r.recent = r.recent[n:]; len(r.recent) == 0 {
		r.recent = nil
	}
}

// await settles a retry once its original is as durable as it asks for.
func (s *Set) await(a *flow.Append) {
	if a.Acks == flow.AcksNone {
		return
	}
	r, lane := s.of(a.State), &a.State.Lane
	lane.Lock()
	var settled []*flow.Append
	if r == nil || !lane.Open || a.Epoch != lane.Epoch {
		a.Err = replication.ErrNotLeader
		settled = append(settled, a)
	} else {
		a.Due = time.Now().Add(a.Timeout)
		a.End = a.BaseOffset + int64(a.Batch.LastOffsetDelta()) + 1
		r.r.Await(a.End, replication.Acks(a.Acks), r.pending.add(a))
		settled = r.act()
	}
	lane.Unlock()
	settle(settled)
}

// Nacked reports that a group will not be written. Its appends are settled by the
// group, and not by their replicas any more.
func (s *Set) Nacked(g *flow.Group) {
	for _, w := range g.Writes {
		for _, a := range w.Appends {
			r := s.of(a.State)
			if r == nil {
				continue
			}
			a.State.Lane.Lock()
			r.pending.drop(a)
			r.drop(g.Image)
			a.State.Lane.Unlock()
		}
	}
}

// drop drops the chunks of an image.
func (r *replica) drop(image *blockfs.Buffer) {
	r.recent = slices.DeleteFunc(r.recent, func(c chunk) bool {
		if c.image != image {
			return false
		}
		c.image.Release()
		return true
	})
}

// pending has the appends of a partition that are not settled, by token. The
// tokens are consecutive.
type pending struct {
	first   uint64 // token of appends[head]
	head    int
	appends []*flow.Append // nil: settled
}

// add returns the token of a, which is not used if a does not wait for anything.
func (p *pending) add(a *flow.Append) uint64 {
	if a.Acks == flow.AcksNone {
		return 0
	}
	p.appends = append(p.appends, a)
	return p.first + uint64(len(p.appends)-1-p.head)
}

// take removes the append with a token; nil if it was dropped.
func (p *pending) take(token uint64) *flow.Append {
	at := p.head + int(token-p.first)
	if token < p.first || at >= len(p.appends) {
		return nil
	}
	a := p.appends[at]
	p.appends[at] = nil
	p.shrink()
	return a
}

// drop removes a.
func (p *pending) drop(a *flow.Append) {
	for i := p.head; i < len(p.appends); i++ {
		if p.appends[i] == a {
			p.appends[i] = nil
		}
	}
	p.shrink()
}

// clear removes and returns all.
func (p *pending) clear() (all []*flow.Append) {
	for _, a := range p.appends[p.head:] {
		if a != nil {
			all = append(all, a)
		}
	}
	p.first += uint64(len(p.appends) - p.head)
	p.appends, p.head = nil, 0
	return all
}

// shrink drops the settled appends at the front.
func (p *pending) shrink() {
	for p.head < len(p.appends) && p.appends[p.head] == nil {
		p.head++
		p.first++
	}
	switch {
	case p.head == len(p.appends):
		p.appends, p.head = p.appends[:0], 0
	case p.head >= 1024 && p.head >= len(p.appends)/2:
		n := copy(p.appends, p.appends[p.head:])
		clear(p.appends[n:])
		p.appends, p.head = p.appends[:n], 0
	}
}
