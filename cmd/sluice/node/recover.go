package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// ErrHole: committed records between two batches of the WAL are missing.
var ErrHole = errors.New("records are missing from the WAL")

// recovery replays the WAL into partition states, tail indexes and the
// uploader's books. It runs alone, before anything else is started.
type recovery struct {
	parts   *partitions
	ledger  *upload.Ledger
	began   time.Time
	batches int
	skipped int // of deleted topics, or in objects already
}

func (r *recovery) run(ctx context.Context, log *wal.Log) (wal.Report, error) {
	r.began = time.Now()
	report, err := log.Recover(ctx, r.batch)
	if err != nil {
		return report, err
	}
	r.parts.recovering = false
	r.parts.table.All(func(s *partition.State) bool {
		r.finish(s)
		return true
	})
	return report, nil
}

// finish makes what was recovered of a partition visible. What ends below the log
// start is not all there was, and is deleted anyway: the log goes on at its start.
func (r *recovery) finish(s *partition.State) {
	o, ok := r.parts.recovered[s.ID]
	if start := s.LogStart(); s.TierEnd() < start && (!ok || o.Next < start) {
		s.Tail.Trim(start)
		s.SetTierEnd(start)
		s.Publish(start)
		if ok {
			o.Next = start
		}
	}
	if ok {
		s.Publish(o.Next)
	}
}

// batch takes one batch of the log. A batch that is in objects was uploaded
// before the WAL could be reclaimed; one of an unknown topic belongs to a topic
// that was deleted.
func (r *recovery) batch(b wal.Recovered) error {
	s, ok := r.parts.table.Get(b.Partition)
	if !ok || b.Base < s.TierEnd() {
		r.skipped++
		return nil
	}
	o, ok := r.parts.recovered[b.Partition]
	if !ok {
		opening := r.parts.fromObjects(b.Partition)
		o = &opening
		r.parts.recovered[b.Partition] = o
	}
	if b.Base != o.Next {
		return fmt.Errorf("%w: %s continues at offset %d where %d is expected", ErrHole, b.Partition, b.Base, o.Next)
	}
	e := partition.Entry{Base: b.Base, Position: b.Position, Group: b.Group, MaxTimestamp: b.Batch.MaxTimestamp(),
		Size: int32(len(b.Batch)), Count: b.Batch.LastOffsetDelta() + 1, Epoch: b.Epoch}
	o.Producers.Append(idempotence.Header(b.Batch, r.began.UnixMilli()), b.Base)
	o.Next = e.End()
	s.Tail.Append(e)
	s.NoteEpoch(b.Epoch, b.Base)
	r.ledger.Recovered(s, b.Position+partition.Position(len(b.Batch)), int64(len(b.Batch)))
	r.batches++
	return nil
}
