package consensus

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Groups returns all consumer groups, unordered.
func (c *Cluster) Groups() []*meta.Group { return c.out.groups.list() }

// Group returns one consumer group as last changed.
func (c *Cluster) Group(name string) (*meta.Group, bool) { return c.out.groups.get(name) }

// GroupOffline returns an error if a group's shard is offline, so that its existence and
// contents are unknown.
func (c *Cluster) GroupOffline(name string) error {
	return c.offline(machine.ShardOfGroup(name, c.cfg.Shards) + 1)
}

// PartitionOffline returns an error if the record of a partition is in an offline shard.
func (c *Cluster) PartitionOffline(p topic.Partition) error { return c.offline(c.ShardOf(p)) }

// ChangeGroup changes a group on behalf of its current coordinator, and creates it if change sets
// anything. Changes of one group are applied in the order in which the calls return.
func (c *Cluster) ChangeGroup(ctx context.Context, name string, change meta.GroupChange) error {
	return c.ChangeGroupAs(ctx, name, c.View().Coordinators[c.ShardOfGroup(name)].Epoch, change)
}

// ChangeGroupAs changes a group on behalf of its coordinator of an epoch. meta.ErrConflict: it is
// no longer the last one.
func (c *Cluster) ChangeGroupAs(ctx context.Context, name string, epoch int32, change meta.GroupChange) error {
	if _, err := c.propose(ctx, c.ShardOfGroup(name)+1, &machine.ChangeGroup{Name: name, Epoch: epoch, Change: change}); err != nil {
		return fmt.Errorf("group %q: %w", name, err)
	}
	return nil
}
