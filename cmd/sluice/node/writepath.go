package node

import (
	"context"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/replica"
	"github.com/sluicemq/sluice/stages/admit"
	"github.com/sluicemq/sluice/stages/batch"
	"github.com/sluicemq/sluice/stages/cache"
	"github.com/sluicemq/sluice/stages/sequence"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// writeStages are the nodes of the write pipeline, in the order of a record.
type writeStages struct {
	admit    *admit.Stage
	sequence *sequence.Stage
	batch    *batch.Stage
	wal      *wal.Log
	replicas *replica.Set
	cache    *cache.Cache
	ledger   *upload.Ledger
	index    *tailIndex
	lanes    int
}

// wire builds the write pipeline:
//
//	admit -> sequence -+-> batch -> wal -> publish
//	            follow -+                 (-> upload)
func (s *writeStages) wire(g *pipeline.Graph, limits config.Stages) {
	admitted := pipeline.From(g, "admit", s.admit)
	sequenced := pipeline.Via(admitted, "sequence", s.sequence,
		pipeline.Lanes(s.lanes, admit.LaneKey), pipeline.Depth(limits.Sequence.Depth))
	appended := pipeline.Merge("appends", sequenced, pipeline.From(g, "follow", s.replicas))
	groups := pipeline.Via(appended, "batch", s.batch, pipeline.Depth(limits.Batch.Depth))
	durable := pipeline.Via(groups, "wal", s.wal, pipeline.Depth(limits.WAL.Depth))
	pipeline.Into(durable, "publish", cache.NewPublisher(s.cache, s.replicas, s.index.room, s.ledger.Note), pipeline.Depth(limits.Publish.Depth))
}

// groupLog is where the batch stage appends groups: to the logs of partitions, all of which are in
// one WAL.
type groupLog struct {
	*replica.Set
	wal *wal.Log
}

// Append appends a group to the logs of its partitions, then makes its image.
func (l groupLog) Append(ctx context.Context, g *flow.Group) error {
	l.Set.Append(g)
	if err := l.wal.Image(ctx, g); err != nil {
		return err
	}
	l.Set.Imaged(g)
	return nil
}
