package consensus

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// AlterISR proposes ISRs on behalf of leaders and returns the error of each, in the given order:
// nil, meta.ErrUnknownTopic, or replication.ErrStaleEpoch, ErrStaleVersion or ErrIneligible. An
// item whose shard did not answer has meta.ErrUnavailable: it may be applied later.
func (c *Cluster) AlterISR(ctx context.Context, items []machine.ISRItem) []error {
	return spread(ctx, c, items, func(i machine.ISRItem) topic.Partition { return i.Partition },
		func(items []machine.ISRItem) machine.Command { return &machine.AlterISR{Items: items} })
}

// ElectLeaders changes the leaders of partitions and returns the error of each, in the given
// order: nil, meta.ErrUnknownTopic, ErrElectionNotNeeded, ErrPreferredUnavailable or
// ErrUnavailable, or replication.ErrIneligible.
func (c *Cluster) ElectLeaders(ctx context.Context, kind meta.Election, items []machine.ElectItem) []error {
	return spread(ctx, c, items, func(i machine.ElectItem) topic.Partition { return i.Partition },
		func(items []machine.ElectItem) machine.Command {
			return &machine.ElectLeaders{Kind: kind, Items: items}
		})
}

// Reassign begins to move partitions to other replicas, or cancels the move where there is no
// target. It returns the error of each, in the given order: nil, meta.ErrUnknownTopic,
// ErrUnknownBroker or ErrUnavailable, or replication.ErrAssignment or ErrNoReassignment.
func (c *Cluster) Reassign(ctx context.Context, items []machine.ReassignItem) []error {
	return spread(ctx, c, items, func(i machine.ReassignItem) topic.Partition { return i.Partition },
		func(items []machine.ReassignItem) machine.Command { return &machine.Reassign{Items: items} })
}

// spread proposes one command to the shard of each item and returns the error of each.
func spread[T any](ctx context.Context, c *Cluster, items []T, of func(T) topic.Partition, command func([]T) machine.Command) []error {
	parts := make([][]T, c.cfg.Shards+1)
	places := make([][]int, c.cfg.Shards+1)
	for i, item := range items {
		shard := c.ShardOf(of(item))
		parts[shard] = append(parts[shard], item)
		places[shard] = append(places[shard], i)
	}
	errs := make([]error, len(items))
	_ = c.each(func(shard int) error { // errors are in errs
		if len(parts[shard]) == 0 {
			return nil
		}
		r, err := c.propose(ctx, shard, command(parts[shard]))
		if err == nil && len(r.Parts) != len(parts[shard]) {
			err = fmt.Errorf("shard %d returned %d results for %d items", shard, len(r.Parts), len(parts[shard]))
		}
		for i, at := range places[shard] {
			if errs[at] = err; err == nil {
				errs[at] = r.Parts[i].Err()
			}
		}
		return nil
	})
	c.publish()
	return errs
}

// settleMinISR brings the min.insync.replicas of a topic to its partitions, if that is not done.
func (c *Cluster) settleMinISR(ctx context.Context, id topic.ID) error {
	t, ok := c.out.topic(id)
	if !ok || t.Settled >= t.MinISR.Revision {
		return nil
	}
	if err := c.everywhere(ctx, &machine.SetMinISR{Topic: id, MinISR: t.MinISR}); err != nil {
		return err
	}
	_, err := c.propose(ctx, 0, &machine.SettleTopic{ID: id, Revision: t.MinISR.Revision})
	return err
}
