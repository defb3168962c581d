package compact

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectwrite"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// write writes one object. fill appends its parts, in the order of ids; commit
// gets their refs.
func (c *Compactor) write(ctx context.Context, ids []topic.Partition, fill func(context.Context, *output) error,
	commit func(context.Context, []meta.ObjectRef) error,
) error {
	var refs []meta.ObjectRef
	w := objectwrite.Writer{Metadata: c.Metadata, Store: c.Store, Clock: c.Clock, TTL: c.Config().PrepareTTL}
	err := w.Write(ctx, &objectwrite.Object{Partitions: ids, Pace: c.throttle.reader,
		Fill: func(ctx context.Context, id meta.ObjectID, w *object.Writer) error {
			out := &output{w: w, id: id}
			err := fill(ctx, out)
			refs = out.refs
			return err
		},
		Commit: func(ctx context.Context, _ meta.ObjectID) error {
			c.metrics.objects.Inc()
			for _, ref := range refs {
				c.metrics.written.Add(float64(ref.Bytes))
			}
			return commit(ctx, refs)
		}})
	if errors.Is(err, objectwrite.ErrLate) {
		return fmt.Errorf("%w, or compaction.bytes_per_second, unless compaction was paused meanwhile", err)
	}
	return err
}

// output is an object that is being written, part by part.
type output struct {
	w    *object.Writer
	id   meta.ObjectID
	refs []meta.ObjectRef
	at   topic.Partition
	next int64 // lowest offset at which the next batch may start
}

// begin starts the part that replaces old.
func (o *output) begin(p topic.Partition, old []meta.ObjectRef) {
	base, end := old[0].Base, old[len(old)-1].End
	o.at, o.next = p, base
	o.refs = append(o.refs, meta.ObjectRef{ID: o.id, Base: base, End: end, MaxTimestamp: -1, WrittenMs: old[len(old)-1].WrittenMs})
}

func (o *output) append(b record.Batch) error {
	ref := &o.refs[len(o.refs)-1]
	if b.BaseOffset() < o.next || b.NextOffset() > ref.End {
		return fmt.Errorf("%w: batch has offsets [%d, %d), want them within [%d, %d)", object.ErrCorrupt, b.BaseOffset(), b.NextOffset(), o.next, ref.End)
	}
	if err := o.w.Append(o.at, b); err != nil {
		return err
	}
	o.next = b.NextOffset()
	ref.Bytes += int64(len(b))
	ref.MaxTimestamp = max(ref.MaxTimestamp, b.MaxTimestamp())
	return nil
}

// end finishes the part. Its last batch must end where the part does; otherwise
// readers would get stuck before the gap.
func (o *output) end() error {
	if ref := o.refs[len(o.refs)-1]; o.next != ref.End {
		return fmt.Errorf("%w: records of %s from offset %d to %d are missing", object.ErrCorrupt, o.at, o.next, ref.End)
	}
	return nil
}
