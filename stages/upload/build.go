package upload

import (
	"context"
	"errors"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// built is the content of an object.
type built struct {
	parts     []meta.CommitPart // without Producers
	producers [][][]byte        // for each part, snapshots of its producer state, oldest first
	charged   int64             // for the snapshots
}

// release refunds the memory of the snapshots.
func (u *Uploader) release(b *built) {
	u.Snapshots.Refund(b.charged)
	*b = built{}
}

// build appends the parts of s to an object and returns the content in what.
// Content of an earlier attempt is dropped.
func (u *Uploader) build(ctx context.Context, out *object.Writer, id meta.ObjectID, s *objectPlan, what *built) error {
	u.release(what)
	a := &tailReader{u: u, s: s}
	for i := range s.parts {
		a.part = i
		if err := u.buildPart(ctx, out, id, a, what); err != nil {
			return err
		}
	}
	return nil
}

func (u *Uploader) buildPart(ctx context.Context, out *object.Writer, id meta.ObjectID, a *tailReader, what *built) error {
	p := &a.s.parts[a.part]
	s := p.state
	now := u.Clock.Now()
	c := meta.CommitPart{Partition: s.ID, Epoch: s.Epoch(),
		Ref: meta.ObjectRef{ID: id, Base: p.first.Base, End: p.last.End(), Bytes: p.bytes, MaxTimestamp: -1, WrittenMs: now.UnixMilli()}}
	producers := idempotence.NewCollector(u.Snapshots)
	err := p.entries(func(e partition.Entry) error {
		rest, release, err := a.batches(ctx, e)
		if err != nil {
			return &partError{s, e.Base, err, false}
		}
		defer release()
		if err := out.Append(s.ID, rest); err != nil {
			if errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrUnsupported) || errors.Is(err, object.ErrOrder) {
				return &partError{s, e.Base, err, false}
			}
			return err // the object's error, not the part's
		}
		for len(rest) > 0 {
			var b record.Batch
			if b, rest, err = record.Next(rest); err != nil {
				return &partError{s, e.Base, err, false}
			}
			producers.Append(idempotence.Header(b, now.UnixMilli()), b.BaseOffset())
			c.Ref.MaxTimestamp = max(c.Ref.MaxTimestamp, b.MaxTimestamp())
		}
		return nil
	})
	snapshots, charged, lost := producers.End()
	what.charged += charged
	u.forgot(s.ID, lost)
	c.Epochs = epochsBelow(s.Epochs(), c.Ref.End)
	what.parts, what.producers = append(what.parts, c), append(what.producers, snapshots)
	return err
}

func epochsBelow(epochs []meta.EpochStart, end int64) []meta.EpochStart {
	for len(epochs) > 0 && epochs[len(epochs)-1].Start >= end {
		epochs = epochs[:len(epochs)-1]
	}
	return epochs
}
