package compact

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// write takes one object through prepare and put. fill appends its parts, in the order
// of ids; the refs returned are theirs. The put ends with the time that was prepared:
// what is still sent later may find that the object was deleted, and bring it back when
// nobody knows of it.
func (c *Compactor) write(ctx context.Context, ids []topic.Partition, fill func(context.Context, *output) error) ([]meta.ObjectRef, error) {
	id := meta.NewObjectID()
	ctx, cancel := context.WithCancelCause(ctx) // no deadline, before which the throttle would refuse to wait
	defer cancel(nil)
	defer time.AfterFunc(c.cfg.PrepareTTL, func() { cancel(errLate) }).Stop()
	if err := c.Metadata.PrepareObject(ctx, id, ids, c.cfg.PrepareTTL); err != nil {
		return nil, fmt.Errorf("prepare object %s: %w", id, err)
	}
	r, w := io.Pipe()
	var refs []meta.ObjectRef
	var built errgroup.Group
	built.Go(func() error {
		buffered := bufio.NewWriterSize(&writer{ctx, w, c.throttle}, 256<<10)
		out := &output{w: object.NewWriter(buffered, id, c.Clock.Now().UnixMilli()), id: id}
		err := fill(ctx, out)
		if err == nil {
			_, err = out.w.Close()
		}
		if err == nil {
			err = buffered.Flush()
		}
		refs = out.refs
		w.CloseWithError(err) // nil ends the object
		return err
	})
	err := c.Store.Put(ctx, object.Key(id), r)
	r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // unblocks a build that nobody reads
	if err = errors.Join(built.Wait(), err); err != nil {
		return nil, fmt.Errorf("write object %s: %w", id, errors.Join(err, context.Cause(ctx)))
	}
	c.metrics.objects.Inc()
	for _, ref := range refs {
		c.metrics.written.Add(float64(ref.Bytes))
	}
	return refs, nil
}

// errLate: an object was not written in the time for which it was prepared.
var errLate = errors.New("the time for which the object was prepared is over; raise object_storage.prepare_timeout_ms or " +
	"compaction.bytes_per_second unless compaction was paused meanwhile")

// output is an object that is being written, part by part.
type output struct {
	w    *object.Writer
	id   meta.ObjectID
	refs []meta.ObjectRef
	at   topic.Partition
	next int64 // no batch may begin below
}

// begin opens the part that takes the place of old.
func (o *output) begin(p topic.Partition, old []meta.ObjectRef) {
	base, end := old[0].Base, old[len(old)-1].End
	o.at, o.next = p, base
	o.refs = append(o.refs, meta.ObjectRef{ID: o.id, Base: base, End: end, MaxTimestamp: -1})
}

func (o *output) append(b record.Batch) error {
	ref := &o.refs[len(o.refs)-1]
	if b.BaseOffset() < o.next || b.NextOffset() > ref.End {
		return fmt.Errorf("%w: a batch of offsets [%d, %d) where [%d, %d) is expected", object.ErrCorrupt, b.BaseOffset(), b.NextOffset(), o.next, ref.End)
	}
	if err := o.w.Append(o.at, b); err != nil {
		return err
	}
	o.next = b.NextOffset()
	ref.Bytes += int64(len(b))
	ref.MaxTimestamp = max(ref.MaxTimestamp, b.MaxTimestamp())
	return nil
}

// end closes the part. Its last batch must end where the part does, or else readers
// would stay in front of the gap.
func (o *output) end() error {
	if ref := o.refs[len(o.refs)-1]; o.next != ref.End {
		return fmt.Errorf("%w: records of %s from offset %d to %d are missing", object.ErrCorrupt, o.at, o.next, ref.End)
	}
	return nil
}
