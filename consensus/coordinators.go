package consensus

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
)

// AcquireCoordinator takes the lease on the groups of a shard, from 0, for a live broker. after is
// the epoch of the lease that was released. meta.ErrConflict: another broker has it, or had it
// since.
func (c *Cluster) AcquireCoordinator(ctx context.Context, shard int, broker int32, incarnation uint64, after int32) (epoch int32, err error) {
	r, err := c.propose(ctx, shard+1, &machine.AcquireCoordinator{Broker: broker, Incarnation: incarnation, After: after})
	if err != nil {
		return 0, fmt.Errorf("coordinator of shard %d: %w", shard, err)
	}
	c.publish()
	return int32(r.Number), nil
}

// AcquireCoordinators takes all leases that nobody has.
func (c *Cluster) AcquireCoordinators(ctx context.Context, broker int32, incarnation uint64) error {
	leases := c.View().Coordinators
	return c.each(func(shard int) error {
		if lease := leases[shard-1]; c.offline(shard) == nil && lease.Broker == meta.NoBroker {
			_, err := c.AcquireCoordinator(ctx, shard-1, broker, incarnation, lease.Epoch)
			if !errors.Is(err, meta.ErrConflict) { // another broker was faster
				return err
			}
		}
		return nil
	})
}

// ShardOfGroup returns the shard, from 0, whose coordinator a group has.
func (c *Cluster) ShardOfGroup(name string) int { return machine.ShardOfGroup(name, c.cfg.Shards) }
