package peer

import (
	"sync"

	"github.com/sluicemq/sluice/internal/replication"
)

// inbox holds the frames that have arrived on the follower's side, until the driver has been
// given them. What it holds is bounded by the window, since the leader gets credit only for what
// the driver has released, and frames without records by the leader's messages for each partition.
type inbox struct {
	arrived chan struct{}

	mu     sync.Mutex
	frames []*inbound
	closed bool
}

func (i *inbox) put(in *inbound) {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		in.drop()
		return
	}
	i.frames = append(i.frames, in)
	i.mu.Unlock()
	select {
	case i.arrived <- struct{}{}:
	default:
	}
}

// takeAll moves the frames to all, which is empty.
func (i *inbox) takeAll(all []*inbound) []*inbound {
	i.mu.Lock()
	defer i.mu.Unlock()
	all, i.frames = i.frames, all
	return all
}

// close drops what is left.
func (i *inbox) close() {
	i.mu.Lock()
	i.closed = true
	left := i.frames
	i.frames = nil
	i.mu.Unlock()
	for _, in := range left {
		in.drop()
	}
}

// deliver passes what arrives to the driver, in order, until the stream ends. On the follower's side.
func (s *stream) deliver() error {
	defer s.inbox.close()
	var all []*inbound
	for {
		clear(all)
		all = s.inbox.takeAll(all[:0])
		for i, in := range all {
			select {
			case <-s.stopped:
				for _, left := range all[i:] {
					left.drop()
				}
				return s.reason
			default:
				s.deliverFrame(in)
			}
		}
		if len(all) > 0 {
			continue
		}
		select {
		case <-s.inbox.arrived:
		case <-s.stopped:
			return s.reason
		}
	}
}

func (s *stream) deliverFrame(in *inbound) {
	defer in.drop()
	c, _ := parseFrame(in.bytes()) // was checked on arrival
	for {
		var it item
		batches, ok, _ := c.next(&it)
		if !ok {
			return
		}
		switch it.kind {
		case kindDivergence:
			s.p.local.Heard(s.peer, it.partition, replication.Message{Divergence: &it.divergence})
		case kindRestart:
			s.p.local.Heard(s.peer, it.partition, replication.Message{Restart: &it.restart})
		case kindRecords:
			in.refs.Add(1)
			s.p.local.Records(s.peer, it.partition, it.records, batches, in.drop)
		}
	}
}
