package wal

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// maintain maintains the segments until ctx ends: it retires those that are done,
// prepares a spare ahead of its use, and removes useless spares. Nothing else
// does so while the log runs, so nobody has to wait for these operations, and the
// stage never waits for an allocation that was foreseeable. Failed operations are
// retried after a while.
func (l *Log) maintain(ctx context.Context) {
	s := l.segments
	prepared := failureLog{"creating a WAL segment failed; producers wait when the log is full", "WAL segments can be created again", false}
	retired := failureLog{"reclaiming a WAL segment failed", "WAL segments can be reclaimed again", false}
	again := time.NewTimer(retry)
	defer again.Stop()
	for {
		n, err := s.retire()
		l.metrics.reclaimed.Add(float64(n))
		if errors.Is(err, errUnsynced) {
			l.latch(err)
			return
		}
		retired.report(s.logger, err)
		s.discard()
		failed := err
		if err = s.prepare(); err != nil {
			signal(s.pressure) // uploads reclaim existing segments
		}
		prepared.report(s.logger, err)
		if again.Stop(); errors.Join(failed, err) != nil {
			again.Reset(retry)
		}
		select {
		case <-s.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// failureLog logs the first of consecutive failures, and the recovery from them.
type failureLog struct {
	failed, recovered string
	last              bool
}

func (s *failureLog) report(logger *slog.Logger, err error) {
	switch {
	case err != nil && !s.last:
		logger.Error(s.failed, "err", err)
	case err == nil && s.last:
		logger.Info(s.recovered)
	}
	s.last = err != nil
}

// prepare creates a spare if one is wanted, there is none and there is space.
func (s *segments) prepare() error {
	size, name := s.missing()
	if size == 0 {
		return nil
	}
	f, err := s.fs.Create(name, size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.spares = append(s.spares, &segment{name: name, file: f, size: size})
	s.mu.Unlock()
	signal(s.changed)
	return nil
}

// missing returns the size and name of the spare to create; size 0 means none.
func (s *segments) missing() (int64, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := s.size
	if s.wanted > 0 {
		size = s.wanted
	}
	if slices.ContainsFunc(s.spares, func(g *segment) bool { return g.size == size }) {
		return 0, ""
	}
	if live, spare := s.sums(); live+spare+size > s.capacity && (spare > 0 || s.wanted == 0 || !s.fits(size)) {
		return 0, ""
	}
	return size, s.nextSpare()
}

// discard removes spares that will not be used: those of a size that nobody
// requests, and those that occupy the space of a wanted one.
func (s *segments) discard() {
	for _, g := range s.useless() {
		// A spare that cannot be removed only takes up space until the next start.
		if err := errors.Join(g.file.Close(), s.fs.Remove(g.name)); err != nil {
			s.logger.Warn("removing a spare WAL segment failed", "file", g.name, "err", err)
		}
		signal(s.changed)
	}
}

// useless takes the spares to remove off the list.
func (s *segments) useless() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	live, spare := s.sums()
	over := live + spare + s.wanted - s.capacity
	var out []*segment
	s.spares = slices.DeleteFunc(s.spares, func(g *segment) bool {
		odd := g.size != s.size && g.size != s.wanted
		if g.readers.Load() > 0 || g.size == s.wanted || !odd && over <= 0 {
			return false
		}
		over -= g.size
		out = append(out, g)
		return true
	})
	return out
}
