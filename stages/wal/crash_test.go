package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
)

// written is an append as the test remembers it.
type written struct {
	batch    []byte
	base     int64
	position partition.Position // once acknowledged
}

// history is what a log was told, over all its lives.
type history struct {
	mu        sync.Mutex
	appends   []*written // in the order they were submitted
	acked     int64      // base of the first append that is not acknowledged
	reclaimed partition.Position
}

func (h *history) submitted(g *flow.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range appends(g) {
		h.appends = append(h.appends, &written{batch: bytes.Clone(a.Batch), base: a.BaseOffset})
	}
}

// settled notes the acknowledgement of g.
func (h *history) settled(g *flow.Group, err error) {
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range appends(g) {
		h.find(a.BaseOffset).position = a.Position
		h.acked = a.BaseOffset + 1
	}
}

func (h *history) find(base int64) *written {
	for _, w := range h.appends {
		if w.base == base {
			return w
		}
	}
	return nil
}

// state is what must be found after a crash at this moment.
type state struct {
	acked     int64
	reclaimed partition.Position
}

func (h *history) state() state {
	h.mu.Lock()
	defer h.mu.Unlock()
	return state{h.acked, h.reclaimed}
}

// lastAcked is where the last batch is that was acknowledged.
func (h *history) lastAcked() (at partition.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.appends {
		if w.base < h.acked {
			at = w.position
		}
	}
	return at
}

// give allows what is below before to be missing.
func (h *history) give(before partition.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reclaimed = max(h.reclaimed, before)
}

// check compares what was recovered: nothing invented, nothing out of order, no
// gap, and all there that was acknowledged and not reclaimed.
func (h *history) check(got []Recovered, s state) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := -1
	for i, r := range got {
		next := -1
		for j, w := range h.appends {
			if w.base == r.Base && bytes.Equal(w.batch, r.Batch) {
				next = j
			}
		}
		switch {
		case next < 0:
			return fmt.Errorf("batch %d at offset %d was never written, or was trimmed before", i, r.Base)
		case i > 0 && next != at+1:
			return fmt.Errorf("batch %d at offset %d does not follow the one before", i, r.Base)
		}
		at = next
	}
	for _, w := range h.appends {
		if w.base >= s.acked || w.position < s.reclaimed {
			continue
		}
		if len(got) == 0 || w.base < got[0].Base || w.base > got[len(got)-1].Base {
			return fmt.Errorf("the batch at offset %d was acknowledged and is lost", w.base)
		}
	}
	return nil
}

// rebase makes what was recovered the truth: what was submitted behind it is
// trimmed and must never come back.
func (h *history) rebase(got []Recovered, s state) {
	h.reclaimed = s.reclaimed // what the dead gave back later it did not
	if len(got) == 0 {
		h.appends = nil
	}
	for i, w := range h.appends {
		if w.base > got[len(got)-1].Base {
			h.appends = h.appends[:i]
			break
		}
	}
	for _, r := range got {
		h.find(r.Base).position = r.Position
		h.acked = r.Base + 1
	}
}

// blackout takes a crash at one operation to come.
type blackout struct {
	fs    *crashfs.FS
	left  atomic.Int64
	taken func() // at that operation
}

func (b *blackout) fault(op crashfs.Op) error {
	if b.left.Add(-1) == 0 {
		b.taken()
	}
	return nil
}

// life is one process: it recovers, writes, and loses power at some point.
type life struct {
	t     *rapid.T
	cfg   Config
	h     *history
	src   *source
	after *crashfs.FS // the disk at the crash
	state state       // what must be on it
}

func (f *life) run(fs *crashfs.FS) {
	keep := rapid.SampledFrom([]crashfs.Keep{crashfs.Nothing, crashfs.Everything, crashfs.Random}).Draw(f.t, "keep")
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(f.t, "sectors"), 0))
	b := &blackout{fs: fs}
	b.left.Store(int64(rapid.IntRange(1, 120).Draw(f.t, "operations until the crash")))
	b.taken = func() {
		f.state = f.h.state() // before the disk is looked at
		f.after = fs.Crash(keep, r)
	}
	fs.SetFault(b.fault)
	l := open(f.t, fs, f.cfg)
	got, report, err := recovered(l)
	if err != nil || len(report.Corruptions) > 0 {
		f.t.Fatalf("recover: %v, %+v", err, report)
	}
	if f.after == nil {
		f.h.rebase(got, f.h.state())
		f.write(l, b)
	}
	if err := l.Close(); err != nil {
		f.t.Fatalf("close: %v", err)
	}
	fs.SetFault(nil)
	if f.after == nil { // it came to a good end
		f.state, f.after = f.h.state(), fs.Crash(keep, r)
	}
}

// write submits groups until the crash, or for a while.
func (f *life) write(l *Log, b *blackout) {
	r := start(l)
	r.settled = f.h.settled
	var under []<-chan error
	for range rapid.IntRange(0, 30).Draw(f.t, "groups") {
		if b.left.Load() <= 0 {
			break
		}
		f.reclaim(l)
		g := f.src.group(rapid.SliceOfN(rapid.IntRange(0, 9000), 0, 4).Draw(f.t, "sizes")...)
		f.h.submitted(g)
		c := r.submit(g)
		if !rapid.Bool().Draw(f.t, "wait") {
			under = append(under, c)
		} else if err := <-c; err != nil {
			f.t.Fatalf("write: %v", err)
		}
	}
	for _, c := range under {
		if err := <-c; err != nil {
			f.t.Fatalf("write: %v", err)
		}
	}
	r.stop(f.t)
	r.release()
}

// reclaim gives back what is below some acknowledged batch when room gets short.
func (f *life) reclaim(l *Log) {
	used, capacity := l.Usage()
	if used < capacity/2 {
		return
	}
	before := f.h.lastAcked()
	f.h.give(before)
	if err := l.Reclaim(before); err != nil {
		f.t.Fatalf("reclaim: %v", err)
	}
}

// TestCrashes gives a log several lives, each of which ends at some operation of
// recovery or writing. What was acknowledged is there in the next, in order, and
// nothing else but what was on its way.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := small()
		cfg.CapacityBytes = 1 << 20 // writers here never wait
		cfg.Inflight = rapid.IntRange(1, 8).Draw(t, "inflight")
		h, src, fs := &history{}, &source{}, crashfs.New(4<<20)
		for range rapid.IntRange(1, 6).Draw(t, "lives") {
			f := &life{t: t, cfg: cfg, h: h, src: src}
			f.run(fs)
			fs = f.after
			got, report := recoverAll(t, fs, cfg)
			if err := h.check(got, f.state); err != nil {
				t.Fatalf("%v\n%+v", err, report)
			}
			if len(report.Corruptions) > 0 {
				t.Fatalf("a crash was taken for corruption: %+v", report)
			}
			again, _ := recoverAll(t, fs, cfg)
			if err := h.check(again, f.state); err != nil || len(again) != len(got) {
				t.Fatalf("recovery is not idempotent: %d then %d batches, %v", len(got), len(again), err)
			}
			h.rebase(got, f.state)
		}
	})
}

// TestCrashesWithInterval allows losses, but only of the end, and none when only
// the process dies.
func TestCrashesWithInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := small()
		cfg.CapacityBytes, cfg.Durability = 1<<20, Interval
		h, src, fs := &history{}, &source{}, crashfs.New(4<<20)
		r := start(opened(t, fs, cfg))
		for range rapid.IntRange(1, 30).Draw(t, "groups") {
			g := src.group(rapid.SliceOfN(rapid.IntRange(0, 9000), 1, 4).Draw(t, "sizes")...)
			h.submitted(g)
			r.write(t, g)
			h.settled(g, nil)
		}
		seed := rapid.Uint64().Draw(t, "sectors")
		lost := fs.Crash(crashfs.Random, rand.New(rand.NewPCG(seed, 0)))
		killed, state := fs.Crash(crashfs.Everything, nil), h.state()
		r.close(t)
		got, report := recoverAll(t, lost, cfg)
		if err := h.check(got, stateOfNothing); err != nil || len(report.Corruptions) > 0 {
			t.Fatalf("%v, %+v", err, report)
		}
		if got, _ = recoverAll(t, killed, cfg); h.check(got, state) != nil {
			t.Fatalf("after kill -9: %v", h.check(got, state))
		}
	})
}

var stateOfNothing = state{}

// TestRot flips one bit somewhere in a log that is sealed: no batch may be wrong,
// and none missing without a report.
func TestRot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := small()
		cfg.CapacityBytes = 1 << 20
		h, src, fs := &history{}, &source{}, crashfs.New(4<<20)
		r := start(opened(t, fs, cfg))
		for range rapid.IntRange(1, 30).Draw(t, "groups") {
			g := src.group(rapid.SliceOfN(rapid.IntRange(0, 9000), 1, 4).Draw(t, "sizes")...)
			h.submitted(g)
			r.write(t, g)
		}
		r.close(t)
		end := r.log.End()
		live := r.log.segments.size
		at := rapid.Int64Range(0, int64(end)-1).Draw(t, "rot")
		fs.Flip(segmentName(partition.Position(at/live*live)), at%live, 1<<rapid.IntRange(0, 7).Draw(t, "bit"))
		l := open(t, fs, cfg)
		defer l.Close()
		got, report, err := recovered(l)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if err := h.checkRotten(got); err != nil {
			t.Fatal(err)
		}
		if len(got) < len(h.appends) && len(report.Corruptions) == 0 && err == nil {
			t.Fatalf("%d of %d batches are left and nothing was reported: %+v", len(got), len(h.appends), report)
		}
	})
}

// checkRotten allows gaps only.
func (h *history) checkRotten(got []Recovered) error {
	last := int64(-1)
	for _, r := range got {
		w := h.find(r.Base)
		if w == nil || !bytes.Equal(w.batch, r.Batch) || r.Base <= last {
			return fmt.Errorf("the batch at offset %d is not the one written, or out of order", r.Base)
		}
		last = r.Base
	}
	return nil
}
