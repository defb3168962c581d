package commit

import (
	"context"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// HighWatermark returns the first offset that is not yet on every in-sync
// replica: the lowest durable log end offset of the leader and the followers in
// the maximal ISR. ok is false when fewer than minISR replicas, leader included,
// are in sync; the high watermark must not move then (KIP-966).
func HighWatermark(leader int64, followers []int64, minISR int) (hw int64, ok bool) {
	if 1+len(followers) < minISR {
		return 0, false
	}
	for _, f := range followers {
		leader = min(leader, f)
	}
	return leader, true
}

// Stage sets the high watermarks of each group. Run it with one worker.
func Stage() pipeline.Stage[*flow.Group, *flow.Group] {
	return pipeline.Each(func(_ context.Context, g *flow.Group) (*flow.Group, error) {
		for _, w := range g.Writes {
			for _, a := range w.Appends {
				if a.Writes() {
					a.HighWatermark, _ = HighWatermark(a.Batch.NextOffset(), nil, 1)
				}
			}
		}
		return g, nil
	})
}
