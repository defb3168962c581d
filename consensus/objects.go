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

// PrepareObject announces an object with ranges of parts. Once it returns, the object may be
// put into the store; it must be committed within ttl.
func (c *Cluster) PrepareObject(ctx context.Context, id meta.ObjectID, parts []topic.Partition, ttl time.Duration) error {
	if len(parts) == 0 || ttl < 2*c.cfg.Timeout {
		return fmt.Errorf("object %s: it needs a partition and a ttl of at least %s", id, 2*c.cfg.Timeout)
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

// bit returns the bit of a shard, from 1, in machine.PrepareObject.Shards.
func bit(shard int) uint64 { return 1 << (shard - 1) }

// CommitObject adds parts of a prepared object to the partitions' manifests and returns the
// result of each, in the given order. It may be repeated after an error: what was committed
// stays committed.
func (c *Cluster) CommitObject(ctx context.Context, id meta.ObjectID, parts []meta.CommitPart) ([]meta.PartResult, error) {
	cmds := make(map[int]*machine.CommitParts)
	places := make(map[int][]int) // indexes in parts of a command's parts
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
				return fmt.Errorf("shard %d returned %d results for %d parts", shard, len(r.Parts), len(cmd.Parts))
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

// ReplaceObjects replaces adjacent ranges of the partition, given by r, by one range of a
// prepared object. ErrConflict: they no longer match r, and nothing has changed. It may be
// repeated after any other error.
func (c *Cluster) ReplaceObjects(ctx context.Context, p topic.Partition, r meta.Replacement) error {
	_, err := c.propose(ctx, c.ShardOf(p), &machine.ReplaceObjects{Partition: p, Epoch: r.Epoch, Old: r.Old, New: r.New,
		CleanEnd: r.CleanEnd, NowMs: c.nowMs()})
	if err != nil {
		return fmt.Errorf("partition %s: %w", p, err)
	}
	c.publish()
	return nil
}

// Garbage returns at most max unreferenced objects to delete: every shard has released them, and
// this broker has known that for the grace period. An object that was deleted already is returned once more, when no
// PUT can bring it back.
func (c *Cluster) Garbage(ctx context.Context, max int) ([]meta.Garbage, error) {
	if len(c.Offline()) > 0 {
		return nil, nil // the references of those shards are unknown
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
	c.keepInGrace(all)
	ids := slices.SortedFunc(maps.Keys(all), func(a, b meta.ObjectID) int { return slices.Compare(a[:], b[:]) })
	garbage := make([]meta.Garbage, min(max, len(ids)))
	for i := range garbage {
		garbage[i] = meta.Garbage{ID: ids[i], Final: all[ids[i]].final}
	}
	return garbage, nil
}

// deadObject merges what the shards know about a dead object.
type deadObject struct {
	waiting uint64 // shards that did not report it dead
	deleted bool   // every shard that reported it knows that it was deleted
	final   bool   // no PUT can bring it back
}

// deadObjects merges the shards' reports, without objects that were deleted but may still come
// back. PUTs of objects that expired at putsEndedMs are over.
func deadObjects(dead [][]machine.DeadObject, putsEndedMs int64) map[meta.ObjectID]deadObject {
	all := make(map[meta.ObjectID]deadObject)
	for shard, objects := range dead {
		for _, o := range objects {
			x, seen := all[o.ID]
			if !seen {
				x = deadObject{o.Shards, true, true}
			}
			x.waiting &^= bit(shard)
			x.deleted = x.deleted && o.Deleted
			x.final = x.final && o.ExpiryMs <= putsEndedMs
			all[o.ID] = x
		}
	}
	maps.DeleteFunc(all, func(_ meta.ObjectID, x deadObject) bool { return x.deleted && !x.final })
	return all
}

// dead expires prepared objects in a shard and returns its dead objects.
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
	return read(ctx, c, shard, (*machine.Shard).Dead)
}

// expireProducers makes a shard drop the producer snapshots of partitions without a write for
// idle.
func (c *Cluster) expireProducers(ctx context.Context, shard int, idle, now int64) error {
	due, err := read(ctx, c, shard, func(s *machine.Shard) bool { return s.HasExpiredProducers(idle) })
	if err != nil || !due {
		return err
	}
	_, err = c.propose(ctx, shard, &machine.ExpireProducers{BeforeMs: idle, NowMs: now})
	c.publish()
	return err
}

// keepUnnamed keeps the objects that are unknown to the shards they still wait for.
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

// keepInGrace keeps the objects that this broker has not known for the grace period to be dead, except
// those that were deleted before. The time is its own: those in the shards are by the clocks of several
// brokers, which may differ by more than the grace period.
func (c *Cluster) keepInGrace(all map[meta.ObjectID]deadObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, dead := c.cfg.Clock.Now(), make(map[meta.ObjectID]time.Time, len(all))
	for id, x := range all {
		if x.deleted {
			continue
		}
		since, known := c.deadSince[id]
		if !known {
			since = now
		}
		dead[id] = since
		if now.Sub(since) < c.cfg.Grace {
			delete(all, id)
		}
	}
	c.deadSince = dead
}

// Collected records that objects returned by Garbage were deleted afterwards. Objects that may
// come back stay known; the others are forgotten.
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
		errs = append(errs, c.everywhere(ctx, &machine.MarkDeleted{IDs: early}))
	}
	if len(final) > 0 {
		errs = append(errs, c.everywhere(ctx, &machine.CollectObjects{IDs: final}))
	}
	return errors.Join(errs...)
}

// each calls f for all partition shards concurrently.
func (c *Cluster) each(f func(shard int) error) error {
	errs := make([]error, c.cfg.Shards+1)
	var g errgroup.Group
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		g.Go(func() error { errs[shard] = f(shard); return nil })
	}
	_ = g.Wait() // errors are in errs
	return errors.Join(errs...)
}
