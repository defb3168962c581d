package consensus

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
)

// propose applies a command in a shard and returns its result. Errors are those of package
// meta; ErrUnavailable means that it may or may not have been applied. Its changes are visible
// after publish.
func (c *Cluster) propose(ctx context.Context, shard int, cmd machine.Command) (machine.Result, error) {
	began := c.cfg.Clock.Now()
	if err := c.offline(shard); err != nil {
		return machine.Result{}, err
	}
	encoded := machine.Encode(cmd)
	c.metrics.bytes.Add(float64(len(encoded)))
	r, err := c.proposed(ctx, shard, encoded)
	c.metrics.proposed(c.cfg.Clock.Now().Sub(began), err)
	if err != nil {
		return r, err
	}
	return r, r.Code.Err()
}

func (c *Cluster) proposed(ctx context.Context, shard int, cmd []byte) (r machine.Result, err error) {
	answer, index, err := c.source.Propose(ctx, shard, cmd)
	if err != nil {
		return r, err
	}
	if r, err = machine.DecodeResult(answer); err != nil {
		return r, err
	}
	return r, c.await(ctx, shard, index)
}

// await returns once this node's copy of a shard has applied the command at index.
func (c *Cluster) await(ctx context.Context, shard int, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	return c.copies[shard].await(ctx, index)
}

// upToDate returns once this node's copy of a shard has every change that was acknowledged before
// the call.
func (c *Cluster) upToDate(ctx context.Context, shard int) error {
	if err := c.offline(shard); err != nil {
		return err
	}
	return c.current(ctx, shard)
}

// current is upToDate of a shard that may not be here yet.
func (c *Cluster) current(ctx context.Context, shard int) error {
	index, err := c.source.ReadIndex(ctx, shard)
	if err != nil {
		return err
	}
	return c.await(ctx, shard, index)
}

// ErrOffline means that the shard was not started because its log is damaged or incomplete, or that
// it could not be reached yet.
var ErrOffline = errors.New("a metadata shard is offline")

// offline returns an error if the shard is offline.
func (c *Cluster) offline(shard int) error {
	if c.source.Offline()[shard] == nil && c.copies[shard].ready.Load() {
		return nil
	}
	return fmt.Errorf("%w: %w: shard %d", meta.ErrUnavailable, ErrOffline, shard)
}

// everywhere proposes a command to all partition shards concurrently. It fails if one is
// offline.
func (c *Cluster) everywhere(ctx context.Context, cmd machine.Command) error {
	err := c.online(ctx, cmd)
	for shard := range c.Offline() {
		err = errors.Join(err, c.offline(shard))
	}
	return err
}

// online proposes a command to all partition shards that are not offline.
func (c *Cluster) online(ctx context.Context, cmd machine.Command) error {
	var g errgroup.Group
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		if c.offline(shard) != nil {
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
func read[T any](ctx context.Context, c *Cluster, shard int, f func(*machine.Shard) T) (out T, err error) {
	if err := c.upToDate(ctx, shard); err != nil {
		return out, err
	}
	s := c.copies[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.parts), nil
}

// readRoot is read for shard 0.
func readRoot[T any](ctx context.Context, c *Cluster, f func(*machine.Root) T) (out T, err error) {
	if err := c.upToDate(ctx, 0); err != nil {
		return out, err
	}
	s := c.copies[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.root), nil
}
