package walread

import (
	"context"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline"
)

// Log reads batches from the WAL.
type Log interface {
	// ReadAt fills dst, of e.Size bytes, with the batches of e.
	ReadAt(ctx context.Context, e partition.Entry, dst []byte) error
}

// Tracker is told what is unreadable, and what is readable again.
type Tracker interface {
	Failed(p unreadable.Place, why unreadable.Reason, err error) error
	Read(unreadable.Place)
}

// Stage reads what the cache left. relocate locates a read again when its batches
// are gone from the WAL; what is nowhere else is reported to t. Any number of
// workers may run the stage.
func Stage(l Log, relocate func(*flow.Read), t Tracker) pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(ctx context.Context, f *flow.Fetch) (*flow.Fetch, error) {
		for _, r := range f.Reads {
			if !r.Cold() || len(r.Tail) == 0 {
				continue
			}
			if where, err := serve(ctx, l, r, t); err != nil {
				again(ctx, l, r, relocate, t, where, err)
			}
		}
		f.Stamp()
		return f, nil
	})
}

// again turns to the object that replaced the WAL range, or to the batches'
// current position in the WAL, or reports what is unreadable.
func again(ctx context.Context, l Log, r *flow.Read, relocate func(*flow.Read), t Tracker, where unreadable.Place, err error) {
	r.Release()
	r.Tail = nil
	relocate(r)
	if r.Err != nil || r.Object != nil {
		return
	}
	if len(r.Tail) > 0 {
		if where, err = serve(ctx, l, r, t); err == nil {
			return
		}
	}
	r.Tail, r.Err = nil, t.Failed(where, unreadable.Damaged, err)
}

// serve reads the tail entries of r. With an error it returns what was
// unreadable.
func serve(ctx context.Context, l Log, r *flow.Read, t Tracker) (where unreadable.Place, err error) {
	for i, e := range r.Tail {
		b, err := read(ctx, l, e)
		if err != nil && i > 0 {
			return where, nil // what was read is intact; the reader will fetch the rest
		}
		if err != nil {
			if wanted, _ := r.Clip(e, sound(b, e, r.Offset)); len(wanted) > 0 {
				r.Add(wanted, flow.FromWAL, nil)
				return where, nil
			}
			return damaged(r.State.ID, b, e, r.Offset), err
		}
		t.Read(whole(r.State.ID, e))
		wanted, more := r.Clip(e, b)
		if len(wanted) > 0 {
			r.Add(wanted, flow.FromWAL, nil)
		}
		if !more {
			break
		}
	}
	return where, nil
}

// Tracked reads and verifies the batches of e for a reader that has nowhere else
// to look.
func Tracked(ctx context.Context, l Log, p topic.Partition, e partition.Entry, t Tracker) ([]byte, error) {
	b, err := read(ctx, l, e)
	if err != nil {
		return nil, t.Failed(damaged(p, b, e, e.Base), unreadable.Damaged, err)
	}
	t.Read(whole(p, e))
	return b, nil
}

// read returns the batches of e. With an error they are unverified.
func read(ctx context.Context, l Log, e partition.Entry) ([]byte, error) {
	dst := make([]byte, e.Size)
	return dst, l.ReadAt(ctx, e, dst)
}

// whole is the range of all batches of e.
func whole(p topic.Partition, e partition.Entry) unreadable.Place {
	return unreadable.Place{Partition: p, Base: e.Base, End: e.End()}
}
