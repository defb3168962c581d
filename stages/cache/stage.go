package cache

import (
	"context"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// Stage makes committed groups visible: image, index, high watermark, in this
// order. room, if not nil, waits before until the index may grow by so many batches.
// noted, if not nil, learns of every group with bytes once it is visible (the uploader
// keeps its books so). Run it with one worker.
func Stage(c *Cache, room func(context.Context, int), noted func(*flow.Group)) pipeline.Stage[*flow.Group, *flow.Group] {
	return pipeline.Each(func(ctx context.Context, g *flow.Group) (*flow.Group, error) {
		if g.Image == nil {
			return g, nil
		}
		if room != nil {
			room(ctx, g.Batches)
		}
		g.Image.Retain()
		c.Put(g.Position, g.Image) // which may evict it at once; the parcel has it still
		show(g)
		if noted != nil {
			noted(g)
		}
		return g, nil
	})
}

// show indexes the batches of g. Those of a partition become visible together.
func show(g *flow.Group) {
	all := g.InOrder()
	for i, a := range all {
		b := a.Batch
		a.State.Tail.Append(partition.Entry{Base: a.BaseOffset, Position: g.Position + partition.Position(a.At), Group: g.Position,
			MaxTimestamp: b.MaxTimestamp(), Size: int32(len(b)), Count: b.LastOffsetDelta() + 1, Epoch: a.Epoch})
		if i == 0 || all[i-1].State != a.State || all[i-1].Epoch != a.Epoch {
			a.State.NoteEpoch(a.Epoch, a.BaseOffset)
		}
		if i+1 == len(all) || all[i+1].State != a.State {
			a.State.Publish(a.HighWatermark)
		}
	}
}
