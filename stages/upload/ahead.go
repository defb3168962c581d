package upload

import (
	"context"
	"errors"

	"github.com/sluicemq/sluice/internal/partition"
)

// AheadBytes is how much of an object is read from the WAL at a time. An object has its
// runs by partition and the log has them by time, so that a stretch of the log is read
// once for each window of the object that has something in it.
const AheadBytes = 3 << 20

// ahead finds the runs of an object in their order. What memory does not have is read
// from the log with what comes next.
type ahead struct {
	u       *Uploader
	s       *objectPlan
	part    int // that is being built
	window  []byte
	reads   map[partition.Position]*partition.Read // what window has
	scratch []byte
	// Everything before was looked at for the window, in the order of the object.
	lastPart int
	lastEnd  int64
}

// run finds the batches of e, a run of the part that is being built: in memory, unless
// the part is to come from the log, or in the log. They are valid until release, and
// until the next call.
func (a *ahead) run(ctx context.Context, e partition.Entry) ([]byte, func(), error) {
	if !a.s.parts[a.part].fromLog {
		if image, ok := a.u.Images.Get(e.Group); ok {
			at := int(e.Position - e.Group)
			return image.Bytes()[at : at+int(e.Size)], image.Release, nil
		}
	}
	if a.part > a.lastPart || e.Base >= a.lastEnd {
		a.gather(ctx, e)
	}
	if r := a.reads[e.Position]; r != nil && r.Entry == e {
		return r.Into, func() {}, r.Err
	}
	// Larger than the window, or memory had it when it was looked at.
	if cap(a.scratch) < int(e.Size) {
		a.scratch = make([]byte, e.Size)
	}
	b := a.scratch[:e.Size]
	return b, func() {}, a.u.Log.ReadAt(ctx, e, b)
}

var errWindowFull = errors.New("the window is full")

// gather reads e, and what comes behind it, as far as the window goes.
func (a *ahead) gather(ctx context.Context, e partition.Entry) {
	if a.window == nil {
		a.window = make([]byte, AheadBytes)
	}
	a.reads = make(map[partition.Position]*partition.Read)
	var list []*partition.Read
	left := a.window
	take := func(i int, e partition.Entry) error {
		p := &a.s.parts[i]
		if int(e.Size) > len(left) {
			return errWindowFull
		}
		a.lastPart, a.lastEnd = i, e.End()
		if !p.fromLog {
			if image, ok := a.u.Images.Get(e.Group); ok {
				image.Release()
				return nil
			}
		}
		r := &partition.Read{Entry: e, Into: left[:e.Size:e.Size]}
		left = left[e.Size:]
		list = append(list, r)
		a.reads[e.Position] = r
		return nil
	}
	for i := a.part; i < len(a.s.parts); i++ {
		from := a.s.parts[i].first.Base
		if i == a.part {
			from = e.Base
		}
		err := a.s.parts[i].runsFrom(from, func(e partition.Entry) error { return take(i, e) })
		if errors.Is(err, errWindowFull) {
			break
		} // any other comes again when that part is built
	}
	a.u.Log.ReadMany(ctx, list)
}
