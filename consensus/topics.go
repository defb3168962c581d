package consensus

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// A topic is in shard 0 and its partitions are in the others, so its changes are sequences of
// commands. Shard 0 records the intent first; each step may be repeated; whoever finds an
// incomplete intent continues it (see repairs).
//
//	create, grow:  0: Begin or Grow   i: EnsurePartitions   0: Finish (now visible)
//	alter:         0: Alter (with another min.insync.replicas)   i: SetMinISR   0: Settle
//	delete:        0: Delete (now invisible)   i: DropTopic   0: Forget

// CreateTopic creates a topic and returns it as it is in the View. After ErrUnavailable the
// topic may appear later.
func (c *Cluster) CreateTopic(ctx context.Context, s meta.TopicSpec) (*meta.Topic, error) {
	if s.ID == (topic.ID{}) {
		s.ID = topic.NewID()
	}
	defer c.markBusy(s.ID)()
	if err := c.placeable(s.ID, 0, s.Partitions); err != nil {
		return nil, fmt.Errorf("topic %q: %w", s.Name, err)
	}
	if _, err := c.propose(ctx, 0, &machine.BeginTopic{Spec: s}); err != nil {
		return nil, fmt.Errorf("topic %q: %w", s.Name, err)
	}
	if err := c.complete(ctx, s.ID); err != nil {
		return nil, fmt.Errorf("topic %q: %w", s.Name, err)
	}
	t, ok := c.View().TopicByID(s.ID)
	if !ok {
		return nil, fmt.Errorf("topic %q was deleted meanwhile: %w", s.Name, meta.ErrUnknownTopic)
	}
	return t, nil
}

// GrowTopic raises a topic's number of partitions.
func (c *Cluster) GrowTopic(ctx context.Context, id topic.ID, partitions int32) error {
	defer c.markBusy(id)()
	if t, ok := c.View().TopicByID(id); ok {
		if err := c.placeable(id, int32(len(t.Partitions)), partitions); err != nil {
			return fmt.Errorf("topic %s: %w", id, err)
		}
	}
	if _, err := c.propose(ctx, 0, &machine.GrowTopic{ID: id, Partitions: partitions}); err != nil {
		return fmt.Errorf("topic %s: %w", id, err)
	}
	return c.complete(ctx, id)
}

// tellLost logs which topics have partitions without a record although none of their shards is
// offline: they were lost with a shard that was started empty.
func (c *Cluster) tellLost() {
	var names []string
	lost := 0
	for _, t := range c.View().Topics() {
		before := lost
		for i, p := range t.Partitions {
			if p.Offline && c.offline(c.ShardOf(topic.Partition{Topic: t.ID, Index: int32(i)})) == nil {
				lost++
			}
		}
		if lost > before && len(names) < maxNames {
			names = append(names, t.Name)
		}
	}
	if lost > 0 {
		c.log.Error("partitions have no leader because they were lost with their metadata shard; delete and recreate their topics once the other partitions are no longer needed",
			"partitions", lost, "topics", names)
	}
}

// maxNames limits the topics named in one log line.
const maxNames = 20

// placeable returns an error if one of the partitions [first, end) would be in an offline
// shard, so that the topic could not be completed.
func (c *Cluster) placeable(id topic.ID, first, end int32) error {
	if end-first > int32(c.cfg.Shards) {
		end = first + int32(c.cfg.Shards) // they are in all shards
	}
	for i := first; i < end; i++ {
		if err := c.offline(c.ShardOf(topic.Partition{Topic: id, Index: i})); err != nil {
			return err
		}
	}
	return nil
}

// AlterTopic sets and removes configs. min.insync.replicas applies to the partitions at the latest
// when their shards are reachable again.
func (c *Cluster) AlterTopic(ctx context.Context, id topic.ID, set map[string]string, del []string) error {
	defer c.markBusy(id)()
	if _, err := c.propose(ctx, 0, &machine.AlterTopic{ID: id, Set: set, Del: del}); err != nil {
		return fmt.Errorf("topic %s: %w", id, err)
	}
	if err := c.settleMinISR(ctx, id); err != nil {
		c.log.Warn("min.insync.replicas is altered but not in force in all partitions yet; retrying", "topic", id, "err", err)
	}
	c.publish()
	return nil
}

// DeleteTopic deletes a topic. Its objects become garbage and its committed offsets are
// removed, at the latest when the shards are reachable again.
func (c *Cluster) DeleteTopic(ctx context.Context, id topic.ID) error {
	defer c.markBusy(id)()
	if _, err := c.propose(ctx, 0, &machine.DeleteTopic{ID: id}); err != nil {
		return fmt.Errorf("topic %s: %w", id, err)
	}
	c.publish()
	if err := c.remove(ctx, id); err != nil {
		c.log.Warn("a topic is deleted but not removed yet; retrying", "topic", id, "err", err)
	}
	return nil
}

// SetLogStart raises a partition's log start; a lower one changes nothing. Objects entirely
// below it become garbage.
func (c *Cluster) SetLogStart(ctx context.Context, p topic.Partition, offset int64) error {
	_, err := c.propose(ctx, c.ShardOf(p), &machine.SetLogStart{Partition: p, Offset: offset, NowMs: c.nowMs()})
	if err != nil {
		return fmt.Errorf("partition %s: %w", p, err)
	}
	c.publish()
	return nil
}

// TrimLog raises a partition's log start on behalf of its leader, to the end of an object or
// above the tier end. ErrConflict: epoch is not the leader epoch, or offset is no such
// boundary.
func (c *Cluster) TrimLog(ctx context.Context, p topic.Partition, epoch int32, offset int64) error {
	_, err := c.propose(ctx, c.ShardOf(p), &machine.TrimLog{Partition: p, Epoch: epoch, Offset: offset, NowMs: c.nowMs()})
	if err != nil {
		return fmt.Errorf("partition %s: %w", p, err)
	}
	c.publish()
	return nil
}

func (c *Cluster) nowMs() int64 { return c.cfg.Clock.Now().UnixMilli() }

// ShardOf returns the shard, from 1, of a partition.
func (c *Cluster) ShardOf(p topic.Partition) int { return machine.ShardOf(p, c.cfg.Shards) + 1 }

// complete creates the partitions that a topic's record has ahead of the shards, and makes them
// visible.
func (c *Cluster) complete(ctx context.Context, id topic.ID) error {
	t, ok := c.out.topic(id)
	if !ok || t.Deleted {
		return meta.ErrUnknownTopic
	}
	missing := make(map[int]*machine.EnsurePartitions)
	for i := t.Count; i < t.Target; i++ {
		shard := c.ShardOf(topic.Partition{Topic: id, Index: i})
		if missing[shard] == nil {
			missing[shard] = &machine.EnsurePartitions{Topic: id, MinISR: t.MinISR}
		}
		missing[shard].Parts = append(missing[shard].Parts, machine.NewPartition{Index: i, Replicas: t.Place(i)})
	}
	var g errgroup.Group
	for shard, cmd := range missing {
		g.Go(func() error {
			_, err := c.propose(ctx, shard, cmd)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if t.Count < t.Target {
		if _, err := c.propose(ctx, 0, &machine.FinishTopic{ID: id, Partitions: t.Target, Revision: t.MinISR.Revision}); err != nil {
			return err
		}
	}
	if err := c.settleMinISR(ctx, id); err != nil {
		return err
	}
	c.publish()
	return nil
}

// remove removes what is left of a deleted topic. It is fine if another caller has removed the
// tombstone already.
func (c *Cluster) remove(ctx context.Context, id topic.ID) error {
	if err := c.everywhere(ctx, &machine.DropTopic{Topic: id, NowMs: c.nowMs()}); err != nil {
		return err
	}
	_, err := c.propose(ctx, 0, &machine.ForgetTopic{ID: id})
	if errors.Is(err, meta.ErrUnknownTopic) {
		err = nil
	}
	c.publish()
	return err
}

// markBusy makes repairs skip a topic until the returned function is called.
func (c *Cluster) markBusy(id topic.ID) (free func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[id]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.busy[id]--; c.busy[id] == 0 {
			delete(c.busy, id)
		}
	}
}

func (c *Cluster) isBusy(id topic.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy[id] > 0
}
