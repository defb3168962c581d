package node

import (
	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/admit"
	"github.com/sluicemq/sluice/stages/batch"
	"github.com/sluicemq/sluice/stages/cache"
	"github.com/sluicemq/sluice/stages/commit"
	"github.com/sluicemq/sluice/stages/replicate"
	"github.com/sluicemq/sluice/stages/sequence"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// writeStages are the nodes of the write pipeline, in the order of a record.
type writeStages struct {
	admit     *admit.Stage
	sequence  *sequence.Stage
	batch     *batch.Stage
	wal       *wal.Log
	replicate *replicate.Stage
	cache     *cache.Cache
	ledger    *upload.Ledger
	index     *tailIndex
	lanes     int
}

// wire builds the write pipeline:
//
//	admit -> sequence -> batch -+-> wal -------+-> commit -> publish
//	                            +-> replicate -+        (-> upload)
func (s *writeStages) wire(g *pipeline.Graph, limits config.Stages) {
	admitted := pipeline.From(g, "admit", s.admit)
	sequenced := pipeline.Via(admitted, "sequence", s.sequence,
		pipeline.Lanes(s.lanes, admit.LaneKey), pipeline.Depth(limits.Sequence.Depth))
	groups := pipeline.Via(sequenced, "batch", s.batch, pipeline.Depth(limits.Batch.Depth))
	branches := pipeline.Tee(groups, "fanout", 2)
	durable := pipeline.Via(branches[0], "wal", s.wal, pipeline.Depth(limits.WAL.Depth))
	copied := pipeline.Via(branches[1], "replicate", s.replicate, pipeline.Depth(limits.Replicate.Depth))
	both := pipeline.Zip(durable, copied, "join",
		func(w flow.Written) uint64 { return w.Seq }, func(a replicate.Ack) uint64 { return a.Seq },
		func(w flow.Written, _ replicate.Ack) *flow.Group {
			w.Group.Position = w.Position // both branches are done with the shared group
			return w.Group
		}, pipeline.Depth(limits.Join.Depth))
	committed := pipeline.Via(both, "commit", commit.Stage(), pipeline.Depth(limits.Commit.Depth))
	pipeline.Into(committed, "publish", cache.NewPublisher(s.cache, s.index.room, s.ledger.Note), pipeline.Depth(limits.Publish.Depth))
}
