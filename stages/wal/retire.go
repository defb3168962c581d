package wal

import (
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// errUnsynced: a directory could not be synced, so it is unknown which of its
// changes are durable.
var errUnsynced = errors.New("directory is not durable")

// retire turns segments that nobody holds and that owe nothing into spares,
// oldest first, each durably before the next, so that a crash leaves no gap. The
// last live segment stays. A failure is retried by the next call, except for a
// sync.
func (s *segments) retire() (n int, err error) {
	for ; ; n++ {
		g := s.oldest()
		if g == nil {
			return n, nil
		}
		if err := s.moveAside(g); err != nil {
			return n, err
		}
		s.mu.Lock()
		s.spares, s.retiring = append(s.spares, g), nil
		s.mu.Unlock()
		s.freed.Add(g.size)
		signal(s.changed)
	}
}

// oldest returns the segment that is retiring, after starting to retire the first
// live one if that may go.
func (s *segments) oldest() *segment {
	s.mu.RLock()
	retiring := s.retiring
	var g *segment
	if len(s.live) >= 2 && s.live[0].writers == 0 && !s.live[0].unsynced {
		g = s.live[0]
	}
	s.mu.RUnlock()
	// No more groups are placed in g, so a holder that is gone stays gone.
	if retiring != nil || g == nil || !g.pending.dropDone(s.done) {
		return retiring
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.retiring = s.live[1:], g
	return g
}

// moveAside durably renames g to a spare. A failed rename can be retried, and may
// turn out to have succeeded; a failed sync cannot.
func (s *segments) moveAside(g *segment) error {
	if g.spare == "" {
		s.mu.Lock()
		g.spare = s.nextSpare()
		s.mu.Unlock()
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return fmt.Errorf("before reclaiming a segment: %w", err)
		}
	}
	if err := s.guard.update(func(e *extent) { e.oldest = s.first() }); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	err := s.fs.Rename(g.name, g.spare)
	if errors.Is(err, blockfs.ErrNotExist) && g.moving {
		err = nil
	}
	g.moving = true
	if err != nil {
		return err
	}
	if err := s.fs.SyncDir(); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	s.mu.Lock()
	g.name, g.spare, g.moving = g.spare, "", false
	s.mu.Unlock()
	return nil
}

// first returns where the oldest live segment begins.
func (s *segments) first() partition.Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live[0].start
}

// retireLast retires the last n segments, last first, so that a crash leaves no
// gap. Only recovery does so, for what lies beyond the end it found.
func (s *segments) retireLast(n int) error {
	for range n {
		s.mu.Lock()
		last := len(s.live) - 1
		g := s.live[last]
		s.live, s.retiring = s.live[:last], g
		s.mu.Unlock()
		if err := s.moveAside(g); err != nil {
			return err
		}
		s.mu.Lock()
		g.pending.clear()
		s.spares, s.retiring = append(s.spares, g), nil
		s.mu.Unlock()
	}
	return nil
}
