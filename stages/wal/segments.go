package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// segments are the files of a log. Live ones hold it, in order of position and
// without gaps; the last of them is being written. Spares were live once, or are
// new; nothing in them counts, since no group in them is where its head says.
//
// Who does what: the stage appends a segment, Reclaim takes one off the front,
// keep alone makes and removes files. mu guards all fields and is never held
// during I/O; retiring is held over a Reclaim, I/O included, and taken first.
type segments struct {
	fs       blockfs.FS
	size     int64
	capacity int64
	logger   *slog.Logger

	retiring sync.Mutex

	mu      sync.RWMutex
	live    []*segment
	spares  []*segment
	spareNo uint64
	wanted  int64 // size of a segment that somebody waits for, 0: none

	changed  chan struct{} // room or a spare may have appeared; capacity 1
	wake     chan struct{} // for keep; capacity 1
	pressure chan struct{} // capacity 1
}

func newSegments(fs blockfs.FS, size, capacity int64, logger *slog.Logger) *segments {
	return &segments{fs: fs, size: size, capacity: capacity, logger: logger,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), pressure: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// open takes up the files of the directory.
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
		s.live = append(s.live, g) // names sort as positions do
	}
	return nil
}

func (s *segments) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, g := range s.live {
		errs = append(errs, g.file.Close())
	}
	for _, g := range s.spares {
		errs = append(errs, g.file.Close())
	}
	s.live, s.spares = nil, nil
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
	g.pins.Add(1)
	return g, nil
}

func (s *segments) unpin(g *segment) {
	if g.pins.Add(-1) == 0 {
		signal(s.changed) // it may be a spare by now
	}
}

// sums returns the bytes of live and of spare segments. Holds mu.
func (s *segments) sums() (live, spare int64) {
	for _, g := range s.live {
		live += g.size
	}
	for _, g := range s.spares {
		spare += g.size
	}
	return live, spare
}

// sizeFor returns the size of the segment that holds a group of n bytes first.
func (s *segments) sizeFor(n int64) int64 { return max(s.size, blockfs.BlockSize+n) }

// retry is how often one who waits for room looks again: for disk space, which
// nobody announces, and to remind the uploader.
const retry = time.Second

// take waits for a spare of size bytes that may become live. stop ends the wait
// as ctx does.
func (s *segments) take(ctx context.Context, size int64, stop <-chan struct{}) (*segment, error) {
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
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryTake takes a spare if the log may grow by it, else it says what is wanted.
func (s *segments) tryTake(size int64) *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fits(size) {
		s.wanted = 0
		signal(s.pressure)
		return nil
	}
	for i, g := range s.spares {
		if g.size == size && g.pins.Load() == 0 {
			s.spares = append(s.spares[:i], s.spares[i+1:]...)
			s.wanted = 0
			return g
		}
	}
	s.wanted = size
	return nil
}

// fits reports whether the log may grow by size bytes: within the capacity, or beyond
// it when there is only the segment in use, since no upload can give that back. Holds mu.
func (s *segments) fits(size int64) bool {
	live, _ := s.sums()
	return live+size <= s.capacity || len(s.live) <= 1
}

// onDisk returns the bytes of all segments.
func (s *segments) onDisk() (live, spare int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sums()
}

// append makes g, which begins at its start, the last live segment.
func (s *segments) append(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = append(s.live, g)
	if live, _ := s.sums(); live > s.capacity/4*3 {
		signal(s.pressure)
	}
	signal(s.wake) // the next one should be ready by the time it is needed
}

// noteData moves the end of the batches in g.
func (s *segments) noteData(g *segment, end partition.Position) {
	s.mu.Lock()
	g.data = end
	s.mu.Unlock()
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

// reclaim makes spares of the segments with nothing at or above before, oldest
// first, each durably, so that a crash leaves no gap. The last stays.
func (s *segments) reclaim(before partition.Position) (int, error) {
	s.retiring.Lock()
	defer s.retiring.Unlock()
	for n := 0; ; n++ {
		g, name := s.oldest(before)
		if g == nil {
			return n, nil
		}
		if err := s.moveAside(g, name); err != nil {
			return n, err
		}
		s.mu.Lock()
		s.live = s.live[1:]
		s.retire(g, name)
		s.mu.Unlock()
		signal(s.changed)
		signal(s.wake)
	}
}

// errUnsynced: a directory could not be synced, and what is durable of its
// changes will never be known.
var errUnsynced = errors.New("directory is not durable")

// moveAside gives a live segment the name of a spare, durably. A rename that
// failed can be tried again, and may turn out to have been made; a sync cannot.
func (s *segments) moveAside(g *segment, name string) error {
	err := s.fs.Rename(g.name, name)
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
	return nil
}

// oldest returns the first live segment if it is wholly below before, and the
// name it gets as a spare.
func (s *segments) oldest(before partition.Position) (*segment, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live) < 2 || s.live[0].data > before {
		return nil, ""
	}
	g := s.live[0]
	if g.spare == "" {
		g.spare = s.nextSpare()
	}
	return g, g.spare
}

func (s *segments) nextSpare() string {
	s.spareNo++
	return spareName(s.spareNo - 1)
}

// retire adds g, renamed to name, to the spares. Holds mu.
func (s *segments) retire(g *segment, name string) {
	g.name, g.spare, g.moving = name, "", false
	s.spares = append(s.spares, g)
}
