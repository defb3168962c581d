package wal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/topic"
)

// count returns the number of repetitions of a test: the value of the environment
// variable if set; otherwise little with -short or the race detector, which is slow and
// looks for something else; otherwise all.
func count(t *testing.T, variable string, little, all int) int {
	if s := os.Getenv(variable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s is %q, want a number", variable, s)
		}
		return n
	}
	if testing.Short() || raceDetector {
		return little
	}
	return all
}

// image is a disk after a crash, and what must be on it.
type image struct {
	disk  *crashfs.FS
	state state
	seed  uint64
	alone bool // only the process died; the disk lives on
}

// powerLoss loses power at every operation of a log's lives, both before the operation and
// when it is visible but not durable, and recovers each resulting disk.
type powerLoss struct {
	t    *testing.T
	seed uint64
	cfg  Config
	h    *history
	src  *source

	mu     sync.Mutex
	r      *rand.Rand // decides what survives a crash
	points int
	next   image // one image of this life, chosen at random
	seen   int   // number of images of this life
}

// crash takes a crash image of a log whose disk is fs.
func (s *powerLoss) crash(fs *crashfs.FS) image {
	s.mu.Lock()
	seed := s.r.Uint64()
	s.points++
	s.mu.Unlock()
	r := rand.New(rand.NewPCG(seed, 0))
	keep := crashfs.Keep(r.IntN(int(killed) + 1))
	i := image{seed: seed, alone: keep == killed}
	i.disk, i.state = s.h.crash(func() *crashfs.FS { return die(fs, keep, r) })
	return i
}

// choose keeps one of all images after a power loss, each with equal probability.
// TestCrashes covers deaths of the process alone.
func (s *powerLoss) choose(i image) {
	if i.alone {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if s.r.IntN(s.seen) == 0 {
		s.next = i
	}
}

// verify recovers i. If deep, power is lost again at every operation of that
// recovery.
func (s *powerLoss) verify(i image, deep bool) []Recovered {
	disk := i.disk.Kill() // a copy, since another life may start on i
	if deep {
		disk.SetFault(func(op crashfs.Op) error {
			if op.Kind != crashfs.Read {
				again := s.crash(disk)
				again.state = i.state
				s.verify(again, false)
			}
			return nil
		})
	}
	got, report := recoverAll(s.t, disk, s.cfg)
	err := s.h.check(got, i.state)
	if err == nil && len(report.Corruptions) > 0 {
		err = fmt.Errorf("a crash was reported as corruption: %+v", report)
	}
	if err != nil {
		s.t.Errorf("seed %d, crash %d: %v", s.seed, i.seed, err)
	}
	return got
}

// live runs one life and returns the disk after one of its crashes.
func (s *powerLoss) live(disk *crashfs.FS) *crashfs.FS {
	s.seen = 0
	images, checkers := make(chan image, 16), sync.WaitGroup{}
	for range runtime.GOMAXPROCS(0) {
		checkers.Go(func() {
			for i := range images {
				s.verify(i, i.seed%4 == 0)
			}
		})
	}
	disk.SetFault(func(op crashfs.Op) error {
		if op.Kind != crashfs.Read {
			i := s.crash(disk)
			s.choose(i)
			images <- i
		}
		return nil
	})
	s.write(disk)
	disk.SetFault(nil)
	close(images)
	checkers.Wait()
	s.h.rebase(s.verify(s.next, false), s.next.state)
	return s.next.disk
}

// write makes a log recover, write and reclaim.
func (s *powerLoss) write(disk *crashfs.FS) {
	r := rand.New(rand.NewPCG(s.seed, uint64(s.points)))
	cfg := s.cfg
	cfg.Inflight = 1 + r.IntN(8)
	l := openedFor(s.t, disk, cfg, s.h.uploaded)
	g := start(l)
	g.settled = s.h.settled
	var under []<-chan error
	for range 5 + r.IntN(25) {
		if used, capacity := l.Usage(); used > capacity/2 {
			if r.IntN(2) == 0 {
				s.h.upload(l)
			} else {
				s.h.upload(l, int32(r.IntN(3)))
			}
		}
		group := s.src.group(sizes(r)...)
		s.h.submitted(group)
		under = append(under, g.submit(group))
		if r.IntN(3) == 0 {
			under = s.wait(under)
			if r.IntN(3) == 0 {
				truncate(s.t, l, s.h, r.IntN(1000))
			}
		}
	}
	s.wait(under)
	g.close(s.t)
}

// truncate truncates a partition of h at one of its batches.
func truncate(t fataler, l *Log, h *history, pick int) {
	err := h.truncate(func(index int32, offset int64) error {
		return l.Truncate(context.Background(), topic.Partition{Topic: aTopic, Index: index}, offset)
	}, pick)
	if err != nil {
		t.Fatalf("truncate: %v", err)
	}
}

func (s *powerLoss) wait(under []<-chan error) []<-chan error {
	for _, c := range under {
		if err := <-c; err != nil {
			s.t.Errorf("write: %v", err)
		}
	}
	return under[:0]
}

// sizes returns random batch sizes for a group, possibly none.
func sizes(r *rand.Rand) []int {
	n := make([]int, r.IntN(5))
	for i := range n {
		n[i] = r.IntN(6000)
	}
	return n
}

// TestCrashPoints loses power at 100,000 points, including during recovery;
// SLUICE_CRASH_POINTS overrides the number. Everything acknowledged is there, in order, and
// nothing that was never written or was trimmed before.
func TestCrashPoints(t *testing.T) {
	want, points := count(t, "SLUICE_CRASH_POINTS", 4000, 100_000), 0
	for seed := uint64(1); points < want && !t.Failed(); seed++ {
		cfg := small()
		cfg.CapacityBytes = 512 << 10
		s := &powerLoss{t: t, seed: seed, cfg: cfg, h: &history{}, src: &source{}, r: rand.New(rand.NewPCG(seed, 1))}
		disk := crashfs.New(1 << 20)
		for range 6 {
			disk = s.live(disk)
		}
		points += s.points
	}
	t.Logf("%d crash points", points)
}
