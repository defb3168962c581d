package consensus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// PrepareObject announces an object with ranges of parts, which may be put into
// the store once this returns and must be committed within ttl.
func (c *Cluster) PrepareObject(ctx context.Context, id meta.ObjectID, parts []topic.Partition, ttl time.Duration) error {
	if len(parts) == 0 || ttl < 2*c.cfg.Timeout {
		return fmt.Errorf("object %s: it needs a partition and at least %s", id, 2*c.cfg.Timeout)
	}
	cmd := &machine.PrepareObject{ID: id, ExpiryMs: c.nowMs() + ttl.Milliseconds()}
	for _, p := range parts {
		cmd.Shards |= bit(c.ShardOf(p))
	}
	var g errgroup.Group
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		if cmd.Shards&bit(shard) == 0 {
			continue
		}
		g.Go(func() error {
			_, err := c.propose(ctx, shard, cmd)
			return err
		})
	}
	return g.Wait()
}

// bit is that of a shard, from 1, in machine.PrepareObject.Shards.
func bit(shard int) uint64 { return 1 << (shard - 1) }

// CommitObject adds parts of a prepared object to the partitions' manifests and
// says of each, in the order given, what became of it. It may be repeated after
// an error: what was committed stays so.
func (c *Cluster) CommitObject(ctx context.Context, id meta.ObjectID, parts []meta.CommitPart) ([]meta.PartResult, error) {
	cmds := make(map[int]*machine.CommitParts)
	places := make(map[int][]int) // of a command's parts in parts
	for i, p := range parts {
		shard := c.ShardOf(p.Partition)
		if cmds[shard] == nil {
			cmds[shard] = &machine.CommitParts{ID: id, NowMs: c.nowMs()}
		}
		cmds[shard].Parts = append(cmds[shard].Parts, p)
		places[shard] = append(places[shard], i)
	}
	results := make([]meta.PartResult, len(parts))
	var g errgroup.Group
	for shard, cmd := range cmds {
		g.Go(func() error {
			r, err := c.propose(ctx, shard, cmd)
			if err != nil {
				return err
			}
			if len(r.Parts) != len(cmd.Parts) {
				return fmt.Errorf("shard %d answered for %d of %d parts", shard, len(r.Parts), len(cmd.Parts))
			}
			for i, at := range places[shard] {
				results[at] = meta.PartResult{Partition: parts[at].Partition, Err: r.Parts[i].Err()}
			}
			return nil
		})
	}
	err := g.Wait()
	c.publish()
	if err != nil {
		return nil, err
	}
	return results, nil
}

// ReplaceObjects puts one range of a prepared object in the place of adjacent ones
// of the partition that r names. ErrConflict: they are no longer as r says, and
// nothing has changed. It may be repeated after another error.
func (c *Cluster) ReplaceObjects(ctx context.Context, p topic.Partition, r meta.Replacement) error {
	_, err := c.propose(ctx, c.ShardOf(p), &machine.ReplaceObjects{Partition: p, Epoch: r.Epoch, Old: r.Old, New: r.New,
		CleanEnd: r.CleanEnd, NowMs: c.nowMs()})
	if err != nil {
		return fmt.Errorf("partition %s: %w", p, err)
	}
	c.publish()
	return nil
}

// Garbage returns at most max objects that nothing refers to, and nothing will, to be
// deleted: all their shards are done with them, each for the grace at least. One that
// was deleted already is among them once, when no PUT can bring it back any more.
func (c *Cluster) Garbage(ctx context.Context, max int) ([]meta.Garbage, error) {
	if len(c.host.offline) > 0 {
		return nil, nil // what those shards refer to cannot be known
	}
	now := c.nowMs()
	dead := make([][]machine.DeadObject, c.cfg.Shards+1)
	err := c.each(func(shard int) (err error) {
		dead[shard], err = c.dead(ctx, shard, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := deadObjects(dead, now-c.cfg.LatePutGrace.Milliseconds())
	if err := c.keepUnnamed(ctx, all); err != nil {
		return nil, err
	}
	ids := slices.SortedFunc(maps.Keys(all), func(a, b meta.ObjectID) int { return slices.Compare(a[:], b[:]) })
	garbage := make([]meta.Garbage, min(max, len(ids)))
	for i := range garbage {
		garbage[i] = meta.Garbage{ID: ids[i], Final: all[ids[i]].final}
	}
	return garbage, nil
}

// deadObject is what the shards that know of a dead object say together.
type deadObject struct {
	waiting uint64 // shards that did not say it is dead
	swept   bool   // all that did say that it was deleted
	final   bool   // no PUT can bring it back
}

// deadObjects puts together what the shards say, and leaves out what was deleted and may
// still come back. PUTs of objects that expired at settledMs are over.
func deadObjects(dead [][]machine.DeadObject, settledMs int64) map[meta.ObjectID]deadObject {
	all := make(map[meta.ObjectID]deadObject)
	for shard, objects := range dead {
		for _, o := range objects {
			x, seen := all[o.ID]
			if !seen {
				x = deadObject{o.Shards, true, true}
			}
			x.waiting &^= bit(shard)
			x.swept = x.swept && o.Swept
			x.final = x.final && o.ExpiryMs <= settledMs
			all[o.ID] = x
		}
	}
	maps.DeleteFunc(all, func(_ meta.ObjectID, x deadObject) bool { return x.swept && !x.final })
	return all
}

// dead gives up what has expired in a shard and returns what is dead.
func (c *Cluster) dead(ctx context.Context, shard int, now int64) ([]machine.DeadObject, error) {
	expired, err := read(ctx, c, shard, func(s *machine.Shard) bool { return s.HasExpired(now) })
	if err != nil {
		return nil, err
	}
	if expired {
		if _, err := c.propose(ctx, shard, &machine.ExpireObjects{NowMs: now}); err != nil {
			return nil, err
		}
	}
	if idle := now - c.cfg.ProducerExpiration.Milliseconds(); c.cfg.ProducerExpiration > 0 {
		if err := c.expireProducers(ctx, shard, idle, now); err != nil {
			return nil, err
		}
	}
	before := now - c.cfg.Grace.Milliseconds()
	return read(ctx, c, shard, func(s *machine.Shard) []machine.DeadObject { return s.Dead(before) })
}

// expireProducers has a shard drop snapshots in which nobody has written since idle.
func (c *Cluster) expireProducers(ctx context.Context, shard int, idle, now int64) error {
	due, err := read(ctx, c, shard, func(s *machine.Shard) bool { return s.HasExpiredProducers(idle) })
	if err != nil || !due {
		return err
	}
	_, err = c.propose(ctx, shard, &machine.ExpireProducers{BeforeMs: idle, NowMs: now})
	c.publish()
	return err
}

// keepUnnamed leaves those objects of which the shards that they wait for know nothing.
func (c *Cluster) keepUnnamed(ctx context.Context, all map[meta.ObjectID]deadObject) error {
	asked := make([][]meta.ObjectID, c.cfg.Shards+1)
	for id, x := range all {
		for shard := 1; shard <= c.cfg.Shards; shard++ {
			if x.waiting&bit(shard) != 0 {
				asked[shard] = append(asked[shard], id)
			}
		}
	}
	known := make([][]meta.ObjectID, c.cfg.Shards+1)
	err := c.each(func(shard int) (err error) {
		if len(asked[shard]) > 0 {
			known[shard], err = read(ctx, c, shard, func(s *machine.Shard) []meta.ObjectID { return s.Knows(asked[shard]) })
		}
		return err
	})
	for _, ids := range known {
		for _, id := range ids {
			delete(all, id)
		}
	}
	return err
}

// Collected says that objects, all from Garbage, were deleted since it returned them.
// Those that may come back stay known; the others are forgotten.
func (c *Cluster) Collected(ctx context.Context, garbage []meta.Garbage) error {
	var final, early []meta.ObjectID
	for _, g := range garbage {
		if g.Final {
			final = append(final, g.ID)
		} else {
			early = append(early, g.ID)
		}
	}
	var errs []error
	if len(early) > 0 {
		errs = append(errs, c.everywhere(ctx, &machine.SweepObjects{IDs: early}))
	}
	if len(final) > 0 {
		errs = append(errs, c.everywhere(ctx, &machine.CollectObjects{IDs: final}))
	}
	return errors.Join(errs...)
}

// each calls f for every partition shard at once.
func (c *Cluster) each(f func(shard int) error) error {
	errs := make([]error, c.cfg.Shards+1)
	var g errgroup.Group
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		g.Go(func() error { errs[shard] = f(shard); return nil })
	}
	_ = g.Wait() // f's errors are in errs
	return errors.Join(errs...)
}
