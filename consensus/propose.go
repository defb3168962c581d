package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
)

// propose applies a command in a shard and returns its result. Errors are those of package
// meta; ErrUnavailable means that it may or may not have been applied. Its changes are visible
// after publish.
func (c *Cluster) propose(ctx context.Context, shard int, cmd machine.Command) (machine.Result, error) {
	began := c.cfg.Clock.Now()
	encoded := machine.Encode(cmd)
	c.metrics.bytes.Add(float64(len(encoded)))
	session := c.host.GetNoOPSession(raftShard(shard))
	var r machine.Result
	err := c.retry(ctx, shard, func(ctx context.Context) error {
		answer, err := c.host.SyncPropose(ctx, session, encoded)
		if err != nil {
			return err
		}
		r, err = machine.DecodeResult(answer.Data)
		return err
	})
	c.metrics.proposed(c.cfg.Clock.Now().Sub(began), err)
	if err != nil {
		return r, err
	}
	return r, r.Code.Err()
}

// retry calls f until it reaches the shard or the time is up.
func (c *Cluster) retry(ctx context.Context, shard int, f func(context.Context) error) error {
	if err := c.offline(shard); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if !c.enter() {
		return fmt.Errorf("%w: this node is closed", meta.ErrUnavailable)
	}
	defer c.calls.Done()
	defer context.AfterFunc(c.life, cancel)()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, dragonboat.ErrShardNotReady) || errors.Is(err, dragonboat.ErrSystemBusy) {
			select { // it was not accepted: no leader yet, or overload
			case <-time.After(retryPause):
				continue
			case <-ctx.Done():
			}
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) { // Raft has errors of its own for that
			err = fmt.Errorf("%w: %w", err, cause)
		}
		return fmt.Errorf("%w: shard %d: %w", meta.ErrUnavailable, shard, err)
	}
}

// enter keeps the host open until calls.Done; it returns false after Close was called.
func (c *Cluster) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return false
	}
	c.calls.Add(1)
	return true
}

const retryPause = 10 * time.Millisecond

// ErrOffline means that the shard was not started because its log is damaged or incomplete.
var ErrOffline = errors.New("a metadata shard is offline")

// offline returns an error if the shard is offline.
func (c *Cluster) offline(shard int) error {
	if c.host.offline[shard] == nil {
		return nil
	}
	return fmt.Errorf("%w: %w: shard %d", meta.ErrUnavailable, ErrOffline, shard)
}

// everywhere proposes a command to all partition shards concurrently. It fails if one is
// offline.
func (c *Cluster) everywhere(ctx context.Context, cmd machine.Command) error {
	err := c.online(ctx, cmd)
	for shard := range c.host.offline {
		err = errors.Join(err, c.offline(shard))
	}
	return err
}

// online proposes a command to all partition shards that are not offline.
func (c *Cluster) online(ctx context.Context, cmd machine.Command) error {
	var g errgroup.Group
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		if c.host.offline[shard] != nil {
			continue
		}
		g.Go(func() error {
			_, err := c.propose(ctx, shard, cmd)
			return err
		})
	}
	return g.Wait()
}

// read calls f with a linearizable state of a partition shard.
func read[T any](ctx context.Context, c *Cluster, shard int, f func(*machine.Shard) T) (T, error) {
	return ask[T](ctx, c, shard, func(s *machine.Shard) any { return f(s) })
}

// readRoot is read for shard 0.
func readRoot[T any](ctx context.Context, c *Cluster, f func(*machine.Root) T) (T, error) {
	return ask[T](ctx, c, 0, func(r *machine.Root) any { return f(r) })
}

func ask[T any](ctx context.Context, c *Cluster, shard int, query any) (T, error) {
	var out T
	err := c.retry(ctx, shard, func(ctx context.Context) error {
		v, err := c.host.SyncRead(ctx, raftShard(shard), query)
		if err == nil {
			out = v.(T)
		}
		return err
	})
	return out, err
}
