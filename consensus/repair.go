package consensus

import (
	"context"
	"errors"
	"time"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/topic"
)

// repairPause is the interval between checks for incomplete topics.
const repairPause = 5 * time.Second

// repairs completes topics whose creation, growth or deletion was interrupted.
func (c *Cluster) repairs(ctx context.Context) {
	timer := time.NewTicker(repairPause)
	defer timer.Stop()
	for {
		c.repair(ctx)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cluster) repair(ctx context.Context) {
	topics, orphans := c.out.unfinished()
	for _, t := range topics {
		if !c.isBusy(t.ID) {
			c.repaired(ctx, t.ID, c.carryOn(ctx, t))
		}
	}
	for _, id := range orphans {
		if dead, err := c.orphan(ctx, id); err != nil || dead {
			c.repaired(ctx, id, c.dropOrphan(ctx, id, err))
		}
	}
}

func (c *Cluster) carryOn(ctx context.Context, t *machine.Topic) error {
	if t.Deleted {
		return c.remove(ctx, t.ID)
	}
	return c.complete(ctx, t.ID)
}

// orphan reports whether partitions exist of a topic that has no record: a node that did not
// know of its deletion created them. The record exists before the first partition, so without
// one now there never will be one, unless shard 0 has lost it.
func (c *Cluster) orphan(ctx context.Context, id topic.ID) (bool, error) {
	kept, err := readRoot(ctx, c, func(r *machine.Root) bool { return r.Has(id) || r.All().Cluster.Lossy })
	return !kept, err
}

func (c *Cluster) dropOrphan(ctx context.Context, id topic.ID, err error) error {
	if err != nil {
		return err
	}
	return c.everywhere(ctx, &machine.DropTopic{Topic: id, NowMs: c.nowMs()})
}

func (c *Cluster) repaired(ctx context.Context, id topic.ID, err error) {
	if ctx.Err() != nil {
		return // the node is closing; the next start continues
	}
	if errors.Is(err, ErrOffline) {
		return // reported at start
	}
	if err != nil {
		c.log.Warn("cannot complete a topic; retrying", "topic", id, "err", err, "pause", repairPause)
		return
	}
	c.metrics.repairs.Inc()
	c.log.Info("completed a topic whose change was interrupted", "topic", id)
}
