package upload

import (
	"context"
	"errors"

	"github.com/sluicemq/sluice/internal/partition"
)

// readWindowBytes is how much of an object is read from the WAL at a time. An object
// is ordered by partition and the log by time, so a range of the log is read once
// for each window of the object that contains part of it.
const readWindowBytes = 3 << 20

// tailReader finds the tail entries of an object in the object's order. What is not in
// memory is read from the log, together with what comes next.
type tailReader struct {
	u       *Uploader
	s       *objectPlan
	part    int // index of the part that is being built
	window  []byte
	reads   map[partition.Position]*partition.Read // what window holds
	scratch []byte
	// Everything before this was considered for the window, in the order of the
	// object.
	lastPart int
	lastEnd  int64
}

// batches finds the batches of e, an entry of the part that is being built: in
// memory, unless the part must come from the log, or in the log. They are valid
// until release, and until the next call.
func (a *tailReader) batches(ctx context.Context, e partition.Entry) ([]byte, func(), error) {
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
	// Larger than the window, or it was in memory when the window was filled.
	if cap(a.scratch) < int(e.Size) {
		a.scratch = make([]byte, e.Size)
	}
	b := a.scratch[:e.Size]
	return b, func() {}, a.u.Log.ReadAt(ctx, e, b)
}

var errWindowFull = errors.New("the window is full")

// gather reads e and what follows it, as far as fits the window.
func (a *tailReader) gather(ctx context.Context, e partition.Entry) {
	if a.window == nil {
		a.window = make([]byte, readWindowBytes)
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
		err := a.s.parts[i].entriesFrom(from, func(e partition.Entry) error { return take(i, e) })
		if errors.Is(err, errWindowFull) {
			break
		} // any other error recurs when that part is built
	}
	a.u.Log.ReadMany(ctx, list)
}
