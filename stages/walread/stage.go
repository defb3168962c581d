package walread

import (
	"context"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// Log reads batches from the WAL.
type Log interface {
	// ReadAt fills dst, of e.Size bytes, with the batches of e.
	ReadAt(ctx context.Context, e partition.Entry, dst []byte) error
}

// Stage reads what the cache left. relocate finds a read's place again when its
// batches are gone from the WAL. Any number of workers may run the stage.
func Stage(l Log, relocate func(*flow.Read)) pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(ctx context.Context, f *flow.Fetch) (*flow.Fetch, error) {
		for _, r := range f.Reads {
			if !r.Cold() || len(r.Tail) == 0 {
				continue
			}
			if err := serve(ctx, l, r); err != nil {
				again(r, err, relocate)
			}
		}
		f.Stamp()
		return f, nil
	})
}

// again turns to the object that replaced the WAL range, or reports err.
func again(r *flow.Read, err error, relocate func(*flow.Read)) {
	r.Release()
	r.Tail = nil
	relocate(r)
	if r.Err == nil && r.Object == nil {
		r.Err = err
	}
}

func serve(ctx context.Context, l Log, r *flow.Read) error {
	for i, e := range r.Tail {
		b, err := Batches(ctx, l, e)
		if err != nil && i > 0 {
			return nil // what was read is whole; the reader comes again
		}
		if err != nil {
			if wanted, _ := r.Clip(e, sound(b, e, r.Offset)); len(wanted) > 0 {
				r.Add(wanted, flow.FromWAL, nil)
				return nil
			}
			return err
		}
		wanted, more := r.Clip(e, b)
		if len(wanted) > 0 {
			r.Add(wanted, flow.FromWAL, nil)
		}
		if !more {
			break
		}
	}
	return nil
}

// Batches reads the batches of e and verifies that they are those that it names. With
// an error it returns what was read, of which nothing is proven.
func Batches(ctx context.Context, l Log, e partition.Entry) ([]byte, error) {
	dst := make([]byte, e.Size)
	return dst, l.ReadAt(ctx, e, dst)
}
