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

// A topic is in shard 0 and its partitions are in the others, so its changes are
// sequences of commands. Shard 0 has the intent first; each step may be repeated;
// whoever finds an intent that is not complete carries on (see repairs).
//
//	create, grow:  0: Begin or Grow   i: EnsurePartitions   0: Finish (seen from here on)
//	delete:        0: Delete (unseen from here on)   i: DropTopic   0: Forget

// CreateTopic makes a topic and returns it as it is in the View. If it fails with
// ErrUnavailable the topic may appear later.
func (c *Cluster) CreateTopic(ctx context.Context, s meta.TopicSpec) (*meta.Topic, error) {
	if s.ID == (topic.ID{}) {
		s.ID = topic.NewID()
	}
	defer c.claim(s.ID)()
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
	defer c.claim(id)()
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

// tellLost logs which topics have partitions without a record although no shard of
// theirs is offline: they went with a shard that was made anew.
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
		c.log.Error("partitions have no leader, since they were lost with their metadata shard; delete their topics and make them again when nothing of the others is needed",
			"partitions", lost, "topics", names)
	}
}

// maxNames bounds the topics of a line of the log.
const maxNames = 20

// placeable returns an error if one of the partitions from first to before end would
// be in a shard that is offline: the topic could not be completed.
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

// AlterTopic sets configs and takes others away.
func (c *Cluster) AlterTopic(ctx context.Context, id topic.ID, set map[string]string, del []string) error {
	if _, err := c.propose(ctx, 0, &machine.AlterTopic{ID: id, Set: set, Del: del}); err != nil {
		return fmt.Errorf("topic %s: %w", id, err)
	}
	c.publish()
	return nil
}

// DeleteTopic removes a topic. Its objects become garbage, and what groups
// committed for it goes, at the latest when the shards can be reached again.
func (c *Cluster) DeleteTopic(ctx context.Context, id topic.ID) error {
	defer c.claim(id)()
	if _, err := c.propose(ctx, 0, &machine.DeleteTopic{ID: id}); err != nil {
		return fmt.Errorf("topic %s: %w", id, err)
	}
	c.publish()
	if err := c.remove(ctx, id); err != nil {
		c.log.Warn("a topic is deleted but not yet removed; it is tried again", "topic", id, "err", err)
	}
	return nil
}

// SetLogStart raises a partition's log start; a lower one changes nothing.
// Objects that are wholly below it become garbage.
func (c *Cluster) SetLogStart(ctx context.Context, p topic.Partition, offset int64) error {
	_, err := c.propose(ctx, c.ShardOf(p), &machine.SetLogStart{Partition: p, Offset: offset, NowMs: c.nowMs()})
	if err != nil {
		return fmt.Errorf("partition %s: %w", p, err)
	}
	c.publish()
	return nil
}

// TrimLog raises a partition's log start on behalf of its leader, to the end of an
// object or above the tier end. ErrConflict: epoch is not the leader epoch, or offset
// is no such boundary.
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

// complete puts those partitions into their shards that a topic's record has
// ahead, and makes them visible.
func (c *Cluster) complete(ctx context.Context, id topic.ID) error {
	t, ok := c.out.topic(id)
	if !ok || t.Deleted {
		return meta.ErrUnknownTopic
	}
	missing := make(map[int]*machine.EnsurePartitions)
	for i := t.Count; i < t.Target; i++ {
		shard := c.ShardOf(topic.Partition{Topic: id, Index: i})
		if missing[shard] == nil {
			missing[shard] = &machine.EnsurePartitions{Topic: id}
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
	if _, err := c.propose(ctx, 0, &machine.FinishTopic{ID: id, Partitions: t.Target}); err != nil {
		return err
	}
	c.publish()
	return nil
}

// remove drops what is left of a deleted topic. A tombstone that somebody else
// has removed meanwhile is not missed.
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

// claim keeps repairs away from a topic until the returned function is called.
func (c *Cluster) claim(id topic.ID) (free func()) {
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

func (c *Cluster) claimed(id topic.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy[id] > 0
}
