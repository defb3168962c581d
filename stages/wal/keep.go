package wal

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// keep retires the segments that are done with, has a spare ready for the segment to
// come, and removes those that are of no use, until ctx ends. It is the only one that
// does so while the log runs: no other has to wait for it, and the stage never waits for an
// allocation that was foreseeable. What fails is tried again after a while.
func (l *Log) keep(ctx context.Context) {
	s := l.segments
	prepared := said{"no new WAL segment could be made; producers wait if the log fills up", "WAL segments can be made again", false}
	retired := said{"a WAL segment that is done with could not be given back", "WAL segments can be given back again", false}
	again := time.NewTimer(retry)
	defer again.Stop()
	for {
		n, err := s.retire()
		l.metrics.reclaimed.Add(float64(n))
		if errors.Is(err, errUnsynced) {
			l.latch(err)
			return
		}
		retired.say(s.logger, err)
		s.discard()
		failed := err
		if err = s.prepare(); err != nil {
			signal(s.pressure) // uploads give back segments that are there already
		}
		prepared.say(s.logger, err)
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

// said logs the first failure of a row, and its end.
type said struct {
	failed, mended string
	last           bool
}

func (s *said) say(logger *slog.Logger, err error) {
	switch {
	case err != nil && !s.last:
		logger.Error(s.failed, "err", err)
	case err == nil && s.last:
		logger.Info(s.mended)
	}
	s.last = err != nil
}

// prepare makes a spare if one is wanted, there is none and there is room.
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

// missing returns the size and the name of the spare to be made, 0 for none.
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

// discard removes the spares that no segment will be made of: those of a size
// that nobody asks for, and those that keep a wanted one from its room.
func (s *segments) discard() {
	for _, g := range s.useless() {
		// A spare that cannot be removed only takes room until the next start.
		if err := errors.Join(g.file.Close(), s.fs.Remove(g.name)); err != nil {
			s.logger.Warn("a spare WAL segment could not be removed", "file", g.name, "err", err)
		}
		signal(s.changed)
	}
}

// useless takes them off the list.
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
