package consensus

import (
	"context"
	"errors"
	"time"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/topic"
)

// repairPause is between two looks for topics that are not complete.
const repairPause = 5 * time.Second

// repairs completes topics whose creation, growth or deletion was cut off.
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
		if !c.claimed(t.ID) {
			c.repaired(ctx, t.ID, c.carryOn(ctx, t))
		}
	}
	if c.keepOrphans {
		orphans = nil // shard 0 may have lost their topics
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

// orphan reports whether partitions of a topic are left that has no record: they
// were put there by somebody who did not know that it was deleted. A record is
// there before the first partition, so none now means none ever again.
func (c *Cluster) orphan(ctx context.Context, id topic.ID) (bool, error) {
	there, err := readRoot(ctx, c, func(r *machine.Root) bool { return r.Has(id) })
	return !there, err
}

func (c *Cluster) dropOrphan(ctx context.Context, id topic.ID, err error) error {
	if err != nil {
		return err
	}
	return c.everywhere(ctx, &machine.DropTopic{Topic: id, NowMs: c.nowMs()})
}

func (c *Cluster) repaired(ctx context.Context, id topic.ID, err error) {
	if ctx.Err() != nil {
		return // the node is being closed; the next start carries on
	}
	if errors.Is(err, ErrOffline) {
		return // as long as the shard is, which was said at the start
	}
	if err != nil {
		c.log.Warn("a topic could not be completed; it is tried again", "topic", id, "err", err, "pause", repairPause)
		return
	}
	c.metrics.repairs.Inc()
	c.log.Info("a topic whose change was cut off is complete", "topic", id)
}
