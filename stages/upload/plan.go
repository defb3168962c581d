package upload

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// part is one partition's range in an object, contiguous from the tier end. Only
// its ends are kept, as they were when it was planned; the entries in between are
// in the partition's tail index until the part is committed.
type part struct {
	state       *partition.State
	first, last partition.Entry // equal if there is only one
	bytes       int64           // 0: empty
	fromLog     bool            // read it from the log, not from memory
}

// errMoved: the tail index no longer has what was planned.
var errMoved = errors.New("the range of an upload is no longer in the WAL")

// entries calls f for each tail entry of the part until f fails.
func (p *part) entries(f func(partition.Entry) error) error { return p.entriesFrom(p.first.Base, f) }

// entriesFrom calls f for the entry that starts at next, and each one after it.
func (p *part) entriesFrom(next int64, f func(partition.Entry) error) error {
	for e := range p.state.Tail.Entries(next, p.last.End()) {
		switch {
		case p.last.Base >= e.Base && p.last.Base < e.End():
			e = p.last
		case p.first.Base == next:
			e = p.first
		}
		if e.Base != next {
			break
		}
		if err := f(e); err != nil {
			return err
		}
		next = e.End()
	}
	if next != p.last.End() {
		return &partError{p.state, next, errMoved, false}
	}
	return nil
}

// objectPlan is one object to be written.
type objectPlan struct {
	parts []part
	pace  *pace
}

// size is the size that the object will have.
func (s *objectPlan) size() (int64, error) {
	var o object.Sizer
	for i := range s.parts {
		p := &s.parts[i]
		if err := p.entries(func(e partition.Entry) error {
			o.Append(p.state.ID, int64(e.Size))
			return nil
		}); err != nil {
			return 0, err
		}
	}
	return o.Size(), nil
}

func (s *objectPlan) partitions() []topic.Partition {
	ids := make([]topic.Partition, len(s.parts))
	for i, p := range s.parts {
		ids[i] = p.state.ID
	}
	return ids
}

// plan divides a cut into objects: one for each partition with OwnObjectBytes or more, or
// with as much less as a cut that was closed early has, and one for all others. Partitions
// that were deleted meanwhile, that other brokers lead by now or that are isolated are left out,
// and failed are those whose range cannot be found.
func (u *Uploader) plan(ctx context.Context, c *Cut) (out []*objectPlan, failed []*partError, err error) {
	shared := &objectPlan{pace: c.pace}
	own := u.Config().OwnObjectBytes
	if c.Reason == byCache { // it has less of everything
		own = int64(earliest * float64(own))
	}
	for _, s := range c.States {
		if s.Deleted() || !s.Leads() || u.isolated[s] != nil {
			continue
		}
		p, err := u.partOf(ctx, s, c.End, math.MaxInt64)
		var broken *partError
		switch {
		case errors.As(err, &broken) && ctx.Err() == nil:
			failed = append(failed, broken)
		case err != nil:
			return nil, nil, err
		case p.bytes == 0:
		case p.bytes >= own:
			out = append(out, &objectPlan{parts: []part{p}, pace: c.pace})
		default:
			shared.parts = append(shared.parts, p)
		}
	}
	if len(shared.parts) > 0 {
		sort.Slice(shared.parts, func(i, j int) bool { return less(shared.parts[i].state.ID, shared.parts[j].state.ID) })
		out = append(out, shared)
	}
	return out, failed, nil
}

func less(a, b topic.Partition) bool {
	if a.Topic != b.Topic {
		return string(a.Topic[:]) < string(b.Topic[:])
	}
	return a.Index < b.Index
}

// partOf returns what s has committed from its tier end up to position end and
// offset limit.
func (u *Uploader) partOf(ctx context.Context, s *partition.State, end partition.Position, limit int64) (part, error) {
	p := part{state: s}
	next := s.TierEnd()
	limit = min(limit, s.HighWatermark())
	for e := range s.Tail.Entries(next, limit) {
		if e.Position >= end || e.End() > limit {
			break
		}
		if e.Base < next && p.bytes == 0 {
			var err error
			if e, err = u.behind(ctx, e, next); err != nil {
				return part{}, &partError{s, next, err, false}
			}
		}
		if e.Base != next {
			return part{}, &partError{s, next, fmt.Errorf("the WAL continues at offset %d; records between are missing", e.Base), false}
		}
		if p.bytes == 0 {
			p.first = e
		}
		p.last, next = e, e.End()
		p.bytes += int64(e.Size)
	}
	return p, nil
}

// behind returns e without its batches below offset.
func (u *Uploader) behind(ctx context.Context, e partition.Entry, offset int64) (partition.Entry, error) {
	batches := make([]byte, e.Size)
	if image, ok := u.Images.Get(e.Group); ok {
		copy(batches, image.Bytes()[e.Position-e.Group:])
		image.Release()
	} else if err := u.Log.ReadAt(ctx, e, batches); err != nil {
		return e, err
	}
	for e.Base < offset {
		b, rest, err := record.Next(batches)
		if err != nil {
			return e, err
		}
		batches = rest
		e.Count -= int32(b.NextOffset() - e.Base)
		e.Base, e.Position = b.NextOffset(), e.Position+partition.Position(len(b))
		e.Size, e.Batches = e.Size-int32(len(b)), e.Batches-1
	}
	return e, nil
}
