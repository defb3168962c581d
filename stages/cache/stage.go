package cache

import (
	"context"
	"errors"
	"io"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// Replicas are told how far the logs are on disk. What that commits they make
// visible to readers, and acknowledge.
type Replicas interface {
	Durable(s *partition.State, end int64)
}

// Publisher is the sink of the write pipeline: it puts groups that are on disk
// where readers look (image, index), then tells the replicas. Run it with one
// worker.
type Publisher struct {
	cache      *Cache
	replicas   Replicas
	awaitIndex func(ctx context.Context, batches int)
	published  func(*flow.Group)
}

// NewPublisher returns the sink. room waits until the index may grow by that many
// batches. noted is called for each non-empty group once the replicas know of it;
// the uploader does its accounting there. Both may be nil.
func NewPublisher(c *Cache, r Replicas, room func(ctx context.Context, batches int), noted func(*flow.Group)) *Publisher {
	return &Publisher{c, r, room, noted}
}

// Run publishes groups until in is closed.
func (s *Publisher) Run(ctx context.Context, in *pipeline.In[*flow.Group]) error {
	for {
		p, err := in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.publish(ctx, p.Body)
		p.Settle(nil)
	}
}

func (s *Publisher) publish(ctx context.Context, g *flow.Group) {
	if g.Image == nil {
		return
	}
	if s.awaitIndex != nil {
		s.awaitIndex(ctx, g.Batches)
	}
	g.Image.Retain()
	s.cache.Put(g.Position, g.Image) // which may evict it at once; the parcel still holds it
	s.index(g)
	if s.published != nil {
		s.published(g)
	}
}

// index indexes the batches of g. Those of one partition are reported together.
func (s *Publisher) index(g *flow.Group) {
	all := g.InOrder()
	for i, a := range all {
		b := a.Batch
		a.State.Tail.Append(partition.Entry{Base: a.BaseOffset, Position: g.Position + partition.Position(a.At), Group: g.Position,
			MaxTimestamp: b.MaxTimestamp(), Size: int32(len(b)), Count: b.LastOffsetDelta() + 1, Epoch: a.Epoch})
		if i == 0 || all[i-1].State != a.State || all[i-1].Epoch != a.Epoch {
			a.State.NoteEpoch(a.Epoch, a.BaseOffset)
		}
		if i+1 == len(all) || all[i+1].State != a.State {
			s.replicas.Durable(a.State, a.BaseOffset+int64(b.LastOffsetDelta())+1)
		}
	}
}
