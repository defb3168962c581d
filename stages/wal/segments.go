package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// segments owns the files of a log and alone decides about their life cycle. A
// segment is live, as part of the log; then retiring; then a spare; then live
// again or removed. Live segments are ordered by position, without gaps, and the
// last one is being written. DESIGN.md has the table of states, holders and
// transitions.
//
// The goroutine of Run makes a spare live; that of maintain creates spares, retires
// and removes. mu guards all fields and is never held during I/O.
type segments struct {
	fs       blockfs.FS
	size     int64
	capacity int64
	done     Done
	guard    *guard
	before   func() error // called before a segment is reclaimed; may be nil
	logger   *slog.Logger

	mu       sync.RWMutex
	live     []*segment
	adopting *segment // taken from the spares, not live yet
	retiring *segment // done, but still under its old name on disk
	spares   []*segment
	spareNo  uint64
	wanted   int64 // size of the segment that somebody waits for, 0: none

	freed atomic.Int64 // bytes of retired segments

	changed  chan struct{} // space or a spare may be available; capacity 1
	wake     chan struct{} // wakes maintain; capacity 1
	pressure chan struct{} // capacity 1
}

func newSegments(fs blockfs.FS, cfg Config, done Done, logger *slog.Logger) *segments {
	return &segments{fs: fs, size: cfg.SegmentSizeBytes, capacity: cfg.CapacityBytes, done: done, logger: logger,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), pressure: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// open opens the files of the directory.
func (s *segments) open() error {
	names, err := s.fs.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		start, isLive := number(name, segmentPrefix, 16)
		n, isSpare := number(name, sparePrefix, 10)
		if !isLive && !isSpare {
			continue
		}
		f, err := s.fs.Open(name)
		if err != nil {
			return errors.Join(err, s.close())
		}
		g := &segment{name: name, file: f, size: f.Size()}
		if isSpare {
			s.spareNo = max(s.spareNo, n+1)
			s.spares = append(s.spares, g)
			continue
		}
		g.start = partition.Position(start)
		s.live = append(s.live, g) // names sort like positions
	}
	return nil
}

func (s *segments) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Concat(s.live, s.spares)
	for _, g := range []*segment{s.adopting, s.retiring} {
		if g != nil {
			all = append(all, g)
		}
	}
	var errs []error
	for _, g := range all {
		errs = append(errs, g.file.Close())
	}
	s.live, s.spares, s.adopting, s.retiring = nil, nil, nil, nil
	return errors.Join(errs...)
}

// pin finds the live segment of pos and keeps it from being reused.
func (s *segments) pin(pos partition.Position) (*segment, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := sort.Search(len(s.live), func(i int) bool { return s.live[i].start > pos })
	if i == 0 || pos >= s.live[i-1].limit() {
		return nil, fmt.Errorf("position %d: %w", pos, ErrReclaimed)
	}
	g := s.live[i-1]
	g.readers.Add(1)
	return g, nil
}

func (s *segments) unpin(g *segment) {
	if g.readers.Add(-1) == 0 {
		signal(s.changed) // it may be a spare by now
	}
}

// addWriter makes group hold g, the last live segment: until its write is complete,
// and until what it writes is done.
func (s *segments) addWriter(g *segment, group *flow.Group) {
	s.mu.Lock()
	g.writers++
	s.mu.Unlock()
	g.pending.add(group)
}

// truncated drops what p owes from offset on.
func (s *segments) truncated(p topic.Partition, offset int64) {
	for _, g := range s.snapshot() {
		g.pending.truncate(p, offset)
	}
	signal(s.wake)
}

// snapshot returns the live segments.
func (s *segments) snapshot() []*segment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.live)
}

// removeWriter releases the hold of one group. If unsynced, the flusher holds g from
// now on.
func (s *segments) removeWriter(g *segment, unsynced bool) {
	s.mu.Lock()
	g.writers--
	if g.writers < 0 {
		panic("wal: a group gave up a segment twice")
	}
	g.unsynced = g.unsynced || unsynced
	free := g.writers == 0 && g != s.live[len(s.live)-1]
	s.mu.Unlock()
	if free {
		signal(s.wake)
	}
}

// unsynced returns the segments with unsynced writes. The caller syncs them and
// reports each.
func (s *segments) unsynced() (dirty []*segment) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.live {
		if g.unsynced {
			dirty = append(dirty, g)
		}
	}
	return dirty
}

// startSync clears the mark of g before it is synced: writes in the meantime mark
// it again. The flusher holds g until it is synced.
func (s *segments) startSync(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.unsynced = false
	g.writers++
}

// sums returns the bytes of the segments that hold the log, retiring ones
// included, and of the spares. Holds mu.
func (s *segments) sums() (live, spare int64) {
	for _, g := range s.live {
		live += g.size
	}
	if s.retiring != nil {
		live += s.retiring.size
	}
	for _, g := range s.spares {
		spare += g.size
	}
	return live, spare
}

// sizeFor returns the size of a segment whose first group has n bytes.
func (s *segments) sizeFor(n int64) int64 { return max(s.size, blockfs.BlockSize+n) }

// retry is how often a waiter checks again: for disk space, which nobody
// announces, and to remind the uploader.
const retry = time.Second

// take waits for a spare of size bytes that may become live. stop, when the log
// has failed, and refusing end the wait, as does ctx.
func (s *segments) take(ctx context.Context, size int64, stop, refusing <-chan struct{}) (*segment, error) {
	var timer *time.Timer
	for {
		if g := s.tryTake(size); g != nil {
			return g, nil
		}
		signal(s.wake)
		if timer == nil {
			timer = time.NewTimer(retry)
			defer timer.Stop()
		}
		select {
		case <-s.changed:
		case <-timer.C:
			timer.Reset(retry)
		case <-stop:
			return nil, ErrFailed
		case <-refusing:
			return nil, ErrStopping
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryTake takes a spare if the log may grow by it, otherwise it records what is
// wanted.
func (s *segments) tryTake(size int64) *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fits(size) {
		s.wanted = 0
		signal(s.pressure)
		return nil
	}
	for i, g := range s.spares {
		if g.size == size && g.readers.Load() == 0 {
			s.spares = slices.Delete(s.spares, i, i+1)
			s.wanted, s.adopting = 0, g
			return g
		}
	}
	s.wanted = size
	return nil
}

// fits reports whether the log may grow by size bytes: within the capacity, or
// beyond it when there is only the segment in use, which no upload could free.
// Holds mu.
func (s *segments) fits(size int64) bool {
	live, _ := s.sums()
	return live+size <= s.capacity || len(s.live) <= 1 && s.retiring == nil
}

// onDisk returns the bytes of all segments.
func (s *segments) onDisk() (live, spare int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sums()
}

// adopt gives a spare its new identity: first the header, durably, then the name,
// durably. Until then it is a spare, afterwards a live segment, and no group is
// written before that.
func (s *segments) adopt(g *segment, h segmentHeader, block []byte) error {
	h.encode(block)
	if err := g.file.WriteAt(block, 0, blockfs.Durable); err != nil {
		return err
	}
	name := segmentName(h.position)
	if err := errors.Join(s.fs.Rename(g.name, name), s.fs.SyncDir()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.name, g.start = name, h.position
	s.live, s.adopting = append(s.live, g), nil
	if live, _ := s.sums(); live > s.capacity/4*3 {
		signal(s.pressure)
	}
	signal(s.wake) // prepare the next one in time; the previous one may be done
	return nil
}

// used returns the bytes of the log up to end.
func (s *segments) used(end partition.Position) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.live) == 0 {
		return 0
	}
	return int64(end - s.live[0].start)
}

func (s *segments) nextSpare() string {
	s.spareNo++
	return spareName(s.spareNo - 1)
}
