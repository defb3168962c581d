package wal

import (
	"context"
	"errors"
	"slices"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// keep has a spare ready for the segment to come, and removes those that are of
// no use, until ctx ends. It is the only one that makes and removes files, so
// that the stage never waits for an allocation that was foreseeable.
func (s *segments) keep(ctx context.Context) {
	warned := false
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		s.discard()
		err := s.prepare()
		if err != nil {
			signal(s.pressure) // uploads give back segments that are there already
		}
		switch {
		case err != nil && !warned:
			s.logger.Error("no new WAL segment could be made; producers wait if the log fills up", "err", err)
		case err == nil && warned:
			s.logger.Info("WAL segments can be made again")
		}
		warned = err != nil
	}
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
		if g.pins.Load() > 0 || g.size == s.wanted || !odd && over <= 0 {
			return false
		}
		over -= g.size
		out = append(out, g)
		return true
	})
	return out
}

// adopt gives a spare its new identity: first the header, durably, then the
// name, durably. Until then it is a spare, from then on a live segment, and no
// group is written before.
func (s *segments) adopt(g *segment, h segmentHeader, block []byte) error {
	h.encode(block)
	if err := g.file.WriteAt(block, 0, blockfs.Durable); err != nil {
		return err
	}
	name := segmentName(h.position)
	if err := errors.Join(s.fs.Rename(g.name, name), s.fs.SyncDir()); err != nil {
		return err
	}
	g.name, g.start, g.data = name, h.position, h.position
	s.append(g)
	return nil
}
