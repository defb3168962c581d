package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
)

// shardCopy is this broker's copy of a shard's state: the same commands in the same order, so at
// the same index it equals the shard's byte for byte. Once it is open it passes changes on to the projection.
type shardCopy struct {
	shard int
	out   *projection
	ready atomic.Bool // it has been up to date once, and knows the process of this broker

	mu    sync.Mutex
	shown bool            // changes are passed on
	root  *machine.Root   // of shard 0
	parts *machine.Shard  // of the others
	at    quorum.Position // after the last command applied
	moved chan struct{}   // closed and replaced when at changes
}

func newShardCopy(shard int, out *projection) *shardCopy {
	s := &shardCopy{shard: shard, out: out, moved: make(chan struct{})}
	if shard == 0 {
		s.root = machine.NewRoot()
	} else {
		s.parts = machine.NewShard()
	}
	return s
}

// open passes on what the copy has, and from then on what changes in it: it is up to date.
func (s *shardCopy) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = true
	if s.shard == 0 {
		s.out.resetRoot(s.root.All())
	} else {
		s.out.resetShard(s.shard, s.parts.All())
	}
	s.ready.Store(true)
}

// The pause after a shard could not be followed; it doubles each time.
const (
	followRetry     = 50 * time.Millisecond
	followRetryMost = 2 * time.Second
)

// followShard applies what a shard applies until the Cluster is closed.
func (c *Cluster) followShard(s *shardCopy) {
	var logged string
	for pause, from := followRetry, s.applied(); ; pause = min(2*pause, followRetryMost) {
		err := s.follow(c.life, c.source.Follow(s.shard, from))
		if c.life.Err() != nil {
			return
		}
		if !errors.Is(err, meta.ErrUnavailable) { // the copy would differ from the shard
			panic(err)
		}
		if now := s.applied(); now != from {
			pause, from, logged = followRetry, now, ""
		}
		if text := err.Error(); text != logged {
			logged = text
			c.log.Warn("cannot follow a metadata shard; retrying", "shard", s.shard, "err", err)
		}
		select {
		case <-time.After(pause):
		case <-c.life.Done():
		}
	}
}

func (s *shardCopy) follow(ctx context.Context, f Follower) error {
	for {
		changes, err := f.Next(ctx)
		if err != nil {
			return err
		}
		if err := s.apply(changes); err != nil {
			return fmt.Errorf("the copy of metadata shard %d: %w", s.shard, err)
		}
	}
}

// applied returns the position after the last command applied.
func (s *shardCopy) applied() quorum.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *shardCopy) apply(changes quorum.Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snapshot := changes.Snapshot; snapshot != nil {
		if err := s.restore(snapshot.State); err != nil {
			return err
		}
		s.at = snapshot.Position
	}
	for _, e := range changes.Entries {
		if err := s.command(e.Cmd); err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		s.at = s.at.After(e)
	}
	close(s.moved)
	s.moved = make(chan struct{})
	return nil
}

func (s *shardCopy) restore(b []byte) (err error) {
	if s.shard == 0 {
		if s.root, err = machine.RestoreRoot(b); err == nil && s.shown {
			s.out.resetRoot(s.root.All())
		}
		return err
	}
	if s.parts, err = machine.RestoreShard(b); err == nil && s.shown {
		s.out.resetShard(s.shard, s.parts.All())
	}
	return err
}

func (s *shardCopy) command(b []byte) error {
	cmd, err := machine.Decode(b)
	if err != nil {
		return err
	}
	if s.shard == 0 {
		_, changes, err := s.root.Apply(cmd)
		if err == nil && s.shown {
			s.out.root(changes)
		}
		return err
	}
	_, changes, err := s.parts.Apply(cmd)
	if err == nil && s.shown {
		s.out.shard(s.shard, changes)
	}
	return err
}

// partitions returns the records in the copy of a partition shard.
func (s *shardCopy) partitions() []machine.PartitionChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts.All().Partitions
}

// broker returns the record of a broker in the copy of shard 0.
func (s *shardCopy) broker(id int32) meta.Broker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root.Broker(id)
}

// await returns once the copy has applied the command at index.
func (s *shardCopy) await(ctx context.Context, index uint64) error {
	for {
		s.mu.Lock()
		there, moved := s.at.Index >= index, s.moved
		s.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("%w: the copy of shard %d is not up to date: %w", meta.ErrUnavailable, s.shard, context.Cause(ctx))
		}
	}
}
