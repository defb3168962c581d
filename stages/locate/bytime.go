package locate

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Batches reads the batches in which a search by time ends.
type Batches interface {
	// InWAL returns the batches of e, an entry of p.
	InWAL(ctx context.Context, p topic.Partition, e partition.Entry) ([]byte, error)
	// InObject returns the first batch in the object with an offset at or after from
	// and a max timestamp at or after ms; ok is false when there is none.
	InObject(ctx context.Context, p topic.Partition, ref meta.ObjectRef, ms, from int64) (b record.Batch, ok bool, err error)
}

// Found is the result of a search by time.
type Found struct {
	Offset, Timestamp int64
	Epoch             int32
}

// ByTime finds the first record, at or after the log start, with a timestamp at
// or after ms (KIP-79). ok is false when there is none.
func (l *Locator) ByTime(ctx context.Context, s *partition.State, ms int64, from Batches) (f Found, ok bool, err error) {
	for {
		end := s.TierEnd()
		var replaced bool
		f, ok, replaced, err = l.inObjects(ctx, s, ms, from)
		if replaced {
			continue
		}
		if ok || err != nil {
			return f, ok, err
		}
		f, ok, err = inTail(ctx, s, ms, from)
		if s.TierEnd() == end {
			return f, ok, err
		}
		// Batches moved from the WAL into an object that was not searched.
	}
}

// inObjects searches the objects. replaced means that one of them could not be
// read and is no longer in the metadata, so whatever replaced it must be
// searched.
func (l *Locator) inObjects(ctx context.Context, s *partition.State, ms int64, from Batches) (f Found, ok, replaced bool, err error) {
	m, exists := l.manifest(s.ID)
	if !exists {
		return Found{}, false, false, nil
	}
	for _, ref := range m.Objects {
		if ref.End <= s.LogStart() || ref.MaxTimestamp < ms {
			continue
		}
		for start := s.LogStart(); ; {
			b, ok, err := from.InObject(ctx, s.ID, ref, ms, start)
			if err != nil {
				return Found{}, false, ctx.Err() == nil && !l.holds(s.ID, ref), err
			}
			if !ok {
				break
			}
			if f, ok, err := inBatch(b, ms, s.LogStart()); ok || err != nil {
				return f, ok, false, err
			}
			start = b.NextOffset() // its matching records were deleted
		}
	}
	return Found{}, false, false, nil
}

// holds reports whether the metadata still has ref.
func (l *Locator) holds(p topic.Partition, ref meta.ObjectRef) bool {
	m, ok := l.manifest(p)
	if !ok {
		return false
	}
	i, ok := m.ObjectAt(ref.Base)
	return ok && m.Objects[i].ID == ref.ID && ref.End > m.LogStart
}

func inTail(ctx context.Context, s *partition.State, ms int64, from Batches) (Found, bool, error) {
	for start := s.LogStart(); ; {
		e, ok := s.Tail.ByTime(ms, start)
		if !ok || e.Base >= s.HighWatermark() {
			return Found{}, false, nil
		}
		batches, err := from.InWAL(ctx, s.ID, e)
		if err != nil {
			return Found{}, false, err
		}
		if f, ok, err := inBatches(s, batches, ms); ok || err != nil {
			return f, ok, err
		}
		start = e.End()
	}
}

// inBatches searches adjacent batches.
func inBatches(s *partition.State, batches []byte, ms int64) (Found, bool, error) {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			return Found{}, false, err
		}
		batches = rest
		if b.BaseOffset() >= s.HighWatermark() {
			break
		}
		if b.MaxTimestamp() < ms || b.NextOffset() <= s.LogStart() {
			continue
		}
		if f, ok, err := inBatch(b, ms, s.LogStart()); ok || err != nil {
			return f, ok, err
		}
	}
	return Found{}, false, nil
}

// inBatch finds the first record of b at or after both ms and offset floor.
func inBatch(b record.Batch, ms, floor int64) (Found, bool, error) {
	for r, err := range b.Records(record.MaxUnpacked) {
		if err != nil {
			return Found{}, false, fmt.Errorf("search by time in the batch at offset %d: %w", b.BaseOffset(), err)
		}
		if r.Timestamp >= ms && r.Offset >= floor {
			return Found{r.Offset, r.Timestamp, b.PartitionLeaderEpoch()}, true, nil
		}
	}
	return Found{}, false, nil
}
