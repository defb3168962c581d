package node

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/objectwrite"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// span is offsets [Base, End).
type span struct {
	Base int64 `json:"base_offset"`
	End  int64 `json:"end_offset"`
}

func (s span) String() string { return fmt.Sprintf("%d to %d", s.Base, s.End-1) }

// errNotGivenUp means that the range was not given up, and nothing has changed.
var errNotGivenUp = errors.New("nothing was given up")

// giveUpRange lets the readers of a partition skip records that are lost for good. Each object
// that has offsets in given, and is only partly readable there, is replaced by one with what is
// readable, and batches without records for the rest. Nothing readable is given up, nor
// anything outside of given. It returns the ranges given up.
func (s *storage) giveUpRange(ctx context.Context, name string, index int32, given span) ([]span, error) {
	p, m, refs, err := s.rangeOf(name, index, given)
	if err != nil {
		return nil, err
	}
	lost := make([][]span, len(refs))
	found := false
	for i, ref := range refs {
		gaps, err := s.gaps(ctx, p, m, ref, given, func([]byte) error { return nil })
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotGivenUp, err)
		}
		lost[i], found = gaps, found || len(gaps) > 0
	}
	if !found {
		return nil, fmt.Errorf("%w: all records of %s/%d from offset %s can be read", errNotGivenUp, name, index, given)
	}
	var done []span
	for i, ref := range refs {
		if len(lost[i]) == 0 {
			continue
		}
		if err := s.replaceLost(ctx, p, m, ref, given); err != nil {
			return done, fmt.Errorf("object %s, offsets %s: %w", ref.ID, span{ref.Base, ref.End}, err)
		}
		for _, gap := range lost[i] {
			s.logger.Warn("records were given up, as requested", "topic", name, "partition", index, "from_offset", gap.Base, "to_offset", gap.End-1, "object", ref.ID)
		}
		done = append(done, lost[i]...)
	}
	return done, nil
}

// rangeOf finds the objects that have offsets in given.
func (s *storage) rangeOf(name string, index int32, given span) (topic.Partition, *meta.Partition, []meta.ObjectRef, error) {
	fail := func(format string, args ...any) (topic.Partition, *meta.Partition, []meta.ObjectRef, error) {
		return topic.Partition{}, nil, nil, fmt.Errorf("%w: %s", errNotGivenUp, fmt.Sprintf(format, args...))
	}
	t, ok := s.meta.View().TopicByName(name)
	if !ok || index < 0 || int(index) >= len(t.Partitions) {
		return fail("there is no partition %s/%d", name, index)
	}
	m := t.Partitions[index]
	if m.Leader != s.parts.broker {
		return fail("%s/%d is led by broker %d; ask that one", name, index, m.Leader)
	}
	var refs []meta.ObjectRef
	for _, ref := range m.Objects {
		if ref.Base < given.End && ref.End > max(given.Base, m.LogStart) {
			refs = append(refs, ref)
		}
	}
	if given.Base < 0 || given.End <= given.Base || len(refs) == 0 {
		return fail("no object has offsets %s of %s/%d; it has offsets %s in objects", given, name, index, span{m.LogStart, m.TierEnd})
	}
	return topic.Partition{Topic: t.ID, Index: index}, m, refs, nil
}

// replaceLost replaces ref by an object with its readable part.
func (s *storage) replaceLost(ctx context.Context, p topic.Partition, m *meta.Partition, ref meta.ObjectRef, given span) error {
	anew := meta.ObjectRef{Base: ref.Base, End: ref.End, MaxTimestamp: -1, WrittenMs: ref.WrittenMs}
	w := objectwrite.Writer{Metadata: s.meta, Store: s.owned, Clock: clock.System{}, TTL: s.prepareTTL}
	return w.Write(ctx, &objectwrite.Object{Partitions: []topic.Partition{p},
		Fill: func(ctx context.Context, id meta.ObjectID, out *object.Writer) error {
			anew.ID = id
			_, err := s.gaps(ctx, p, m, ref, given, func(batches []byte) error {
				for rest := batches; len(rest) > 0; {
					b, more, err := record.Next(rest)
					if err != nil {
						return err
					}
					if err := out.Append(p, b); err != nil {
						return err
					}
					anew.Bytes += int64(len(b))
					anew.MaxTimestamp = max(anew.MaxTimestamp, b.MaxTimestamp())
					rest = more
				}
				return nil
			})
			return err
		},
		Commit: func(ctx context.Context, _ meta.ObjectID) error {
			return s.meta.ReplaceObjects(ctx, p, meta.Replacement{Epoch: m.Epoch, Old: []meta.ObjectRef{ref}, New: anew})
		}})
}

// gaps emits an object's data of a partition, block by block, with batches without records in
// place of missing or damaged blocks, and returns their ranges. It fails if one is outside of
// given, or if the store cannot tell.
func (s *storage) gaps(ctx context.Context, p topic.Partition, m *meta.Partition, ref meta.ObjectRef, given span, emit func([]byte) error) (gaps []span, err error) {
	next := ref.Base
	lose := func(to int64) error {
		if to <= next {
			return nil
		}
		gap := span{max(next, m.LogStart), to}
		if gap.Base < gap.End {
			if gap.Base < given.Base || gap.End > given.End {
				return fmt.Errorf("offsets %s cannot be read either in object %s; name all of them, or restore the object", gap, ref.ID)
			}
			gaps = append(gaps, gap)
		}
		filler := record.Gap(next, to, epochAt(m, next))
		next = to
		return emit(filler)
	}
	blocks, err := s.blocksOf(ctx, p, ref)
	if err != nil {
		return nil, err
	}
	src := s.objects.Object(object.Key(ref.ID))
	for _, b := range blocks {
		data, err := src.ReadRange(ctx, b.Offset, b.Length)
		if err == nil {
			err = wholeBatches(b, data)
		}
		switch {
		case err == nil:
			next = b.End
			err = emit(data)
		case isLost(err):
			next = max(next, min(b.Base, ref.End)) // offsets removed by compaction before it are not lost
			err = lose(b.End)
		}
		if err != nil {
			return nil, err
		}
	}
	return gaps, lose(ref.End)
}

// blocksOf returns the blocks of a partition in an object, none if its index is lost.
func (s *storage) blocksOf(ctx context.Context, p topic.Partition, ref meta.ObjectRef) ([]object.Block, error) {
	key := object.Key(ref.ID)
	size, err := s.objects.Size(ctx, key)
	var footer *object.Footer
	if err == nil {
		footer, err = object.ReadFooter(ctx, s.objects.Object(key), size)
	}
	if err != nil {
		if isLost(err) {
			err = nil
		}
		return nil, err
	}
	rng, ok := footer.Range(p)
	if !ok || footer.ID != ref.ID || rng.Base < ref.Base || rng.End > ref.End {
		return nil, nil // belongs to another owner
	}
	return rng.Blocks, nil
}

// wholeBatches checks that data is block b and that its batches are readable.
func wholeBatches(b object.Block, data []byte) error {
	if err := b.Verify(data); err != nil {
		return err
	}
	for rest := data; len(rest) > 0; {
		batch, more, err := record.Next(rest)
		if err == nil {
			err = batch.Verify()
		}
		if err != nil {
			return err
		}
		rest = more
	}
	return nil
}

// isLost reports whether err is about the records, not about the store.
func isLost(err error) bool {
	for _, lost := range []error{objectstore.ErrNotFound, objectstore.ErrShort, object.ErrCorrupt, object.ErrUnsupported, record.ErrCorrupt, record.ErrUnsupported, syscall.EIO} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// epochAt returns the leader epoch of an offset.
func epochAt(m *meta.Partition, offset int64) (epoch int32) {
	for _, e := range m.Epochs {
		if e.Start <= offset {
			epoch = e.Epoch
		}
	}
	return epoch
}
