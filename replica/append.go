package replica

import (
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
)

// Append appends the batches of a group to the logs of their partitions, before
// the group's image is made. Those whose lane has closed since they got their
// offsets are refused, and are not part of the group any more.
func (s *Set) Append(g *flow.Group) {
	all, refused := g.InOrder(), false
	for i := 0; i < len(all); {
		n := i + 1
		for n < len(all) && all[n].State == all[i].State {
			n++
		}
		refused = s.appendTo(all[i].State, all[i:n]) || refused
		i = n
	}
	for _, w := range g.Writes {
		for _, a := range w.Appends {
			if a.Duplicate && a.Err == nil {
				s.await(a)
			}
		}
	}
	if refused {
		g.Arrange()
	}
}

// appendTo appends the batches of one partition, and reports whether some were
// refused.
func (s *Set) appendTo(state *partition.State, all []*flow.Append) (refused bool) {
	r, lane := s.of(state), &state.Lane
	lane.Lock()
	var settled []*flow.Append
	for _, a := range all {
		if r == nil || !lane.Open || a.Epoch != lane.Epoch {
			a.Err, refused = replication.ErrNotLeader, true
			if a.Acks != flow.AcksNone {
				settled = append(settled, a)
			}
			continue
		}
		r.r.Append(a.BaseOffset+int64(a.Batch.LastOffsetDelta())+1, replication.Acks(a.Acks), r.pending.add(a))
	}
	if r != nil {
		settled = append(settled, r.act()...)
	}
	lane.Unlock()
	settle(settled)
	return refused
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
		r.r.Await(a.BaseOffset+int64(a.Batch.LastOffsetDelta())+1, replication.Acks(a.Acks), r.pending.add(a))
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
			a.State.Lane.Unlock()
		}
	}
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
