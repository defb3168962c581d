package replica

import (
	"context"
	"fmt"
	"sync"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Records handles records of a leader. batches is valid until release, which is
// called once they are copied, or not wanted.
func (s *Set) Records(from int32, p topic.Partition, h replication.Records, batches []byte, release func()) {
	state, ok := s.Find(p)
	if !ok {
		release()
		return
	}
	w, epochs, err := s.received(state, h, batches)
	if err != nil {
		s.Logger.Error("records of a leader are damaged; asking for them again", "partition", p, "leader", from, "err", err)
		release()
		s.do(state, func(r *replication.Replica) { r.Connected(from) })
		return
	}
	r := s.of(state)
	if r == nil {
		release()
		return
	}
	state.Lane.Lock()
	take := r.r.HearRecords(h, epochs)
	if take {
		r.follow(w)
		s.inbox.push(arrived{w, release})
	}
	settled := r.act()
	state.Lane.Unlock()
	settle(settled)
	if !take {
		release()
	}
}

// received checks what a leader sent and returns it as a Write, with the epochs
// that begin in it.
func (s *Set) received(state *partition.State, h replication.Records, batches []byte) (*flow.Write, []meta.EpochStart, error) {
	w := &flow.Write{LaneKey: state.ID.Hash(), Bytes: int64(len(batches))}
	var epochs []meta.EpochStart
	next := h.Base
	for rest := batches; len(rest) > 0; {
		b, more, err := record.Next(rest)
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			return nil, nil, err
		}
		epoch := b.PartitionLeaderEpoch()
		if n := len(epochs); n == 0 || epochs[n-1].Epoch != epoch {
			if n > 0 && epochs[n-1].Epoch > epoch {
				return nil, nil, fmt.Errorf("%w: epoch %d at offset %d is after epoch %d", record.ErrCorrupt, epoch, next, epochs[n-1].Epoch)
			}
			epochs = append(epochs, meta.EpochStart{Epoch: epoch, Start: next})
		}
		if b.BaseOffset() != next || epoch > h.Epoch {
			return nil, nil, fmt.Errorf("%w: batch at offset %d in epoch %d, want offset %d", record.ErrCorrupt, b.BaseOffset(), epoch, next)
		}
		w.Appends = append(w.Appends, &flow.Append{Partition: state.ID, State: state, Batch: b, BaseOffset: next, Epoch: epoch,
			LogAppendTime: -1, Follower: true})
		next, rest = b.NextOffset(), more
	}
	if next != h.End {
		return nil, nil, fmt.Errorf("%w: batches up to offset %d, want %d", record.ErrCorrupt, next, h.End)
	}
	return w, epochs, nil
}

// follow has the producers of a follower follow its log.
func (r *replica) follow(w *flow.Write) {
	lane := &r.state.Lane
	if lane.Producers == nil {
		lane.Producers = r.set.Producers(r.state)
	}
	now := r.set.nowMs()
	for _, a := range w.Appends {
		lane.Producers.Append(idempotence.Header(a.Batch, now), a.BaseOffset)
	}
}

// arrived is what a leader sent, on its way to the batch stage.
type arrived struct {
	write   *flow.Write
	release func()
}

// inbox queues what leaders send, in order. It is bounded by their windows.
type inbox struct {
	mu    sync.Mutex
	queue []arrived
	ready chan struct{} // capacity 1
}

func (q *inbox) push(a arrived) {
	q.mu.Lock()
	q.queue = append(q.queue, a)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *inbox) take() []arrived {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.queue
	q.queue = nil
	return all
}

// Run is a source of the write pipeline, beside sequence: it emits what leaders
// send until ctx ends.
func (s *Set) Run(ctx context.Context, out pipeline.Emit[*flow.Write]) error {
	for {
		all := s.inbox.take()
		for i, a := range all {
			receipt := pipeline.NewReceipt(func(error) { a.release() })
			if err := out(ctx, pipeline.Parcel[*flow.Write]{Body: a.write, Size: a.write.Bytes, Receipt: receipt}); err != nil {
				for _, a := range all[i+1:] {
					a.release()
				}
				return err
			}
		}
		if len(all) > 0 {
			continue
		}
		select {
		case <-s.inbox.ready:
		case <-ctx.Done():
			return nil
		}
	}
}

// Heard handles a Position, Divergence or Restart.
func (s *Set) Heard(_ int32, p topic.Partition, m replication.Message) {
	state, ok := s.Find(p)
	if !ok {
		return
	}
	s.do(state, func(r *replication.Replica) {
		switch {
		case m.Position != nil:
			r.HearPosition(*m.Position)
		case m.Divergence != nil:
			r.HearDivergence(*m.Divergence)
		case m.Restart != nil:
			r.HearRestart(*m.Restart)
		}
	})
}

// Connected reports a new stream to a broker, whose followers here say how far
// they are.
func (s *Set) Connected(broker int32) {
	s.each(func(r *replication.Replica) { r.Connected(broker) })
}

// Disconnected reports that the stream of a broker, which follows, has ended.
func (s *Set) Disconnected(broker int32) {
	s.each(func(r *replication.Replica) { r.Disconnected(broker) })
}
