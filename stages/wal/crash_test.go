package wal

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

// blackout takes a crash image at a chosen future operation.
type blackout struct {
	fs    *crashfs.FS
	left  atomic.Int64
	taken func() // called at that operation
}

func (b *blackout) fault(op crashfs.Op) error {
	if b.left.Add(-1) == 0 {
		b.taken()
	}
	return nil
}

// killed means that only the process dies: the next one finds everything written, even
// what would not survive a power loss.
const killed = crashfs.Random + 1

// die returns the disk after a crash of the given kind.
func die(fs *crashfs.FS, keep crashfs.Keep, r *rand.Rand) *crashfs.FS {
	if keep == killed {
		return fs.Kill()
	}
	return fs.Crash(keep, r)
}

// life is one process: it recovers the log, writes, and is killed or loses power at
// some point.
type life struct {
	t     *rapid.T
	cfg   Config
	h     *history
	src   *source
	after *crashfs.FS // the disk at the crash
	state state       // expected contents of after
	alone bool        // only the process died; the disk lives on
}

func (f *life) run(fs *crashfs.FS) {
	keep := rapid.SampledFrom([]crashfs.Keep{killed, crashfs.Nothing, crashfs.Everything, crashfs.Random}).Draw(f.t, "keep")
	f.alone = keep == killed
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(f.t, "sectors"), 0))
	b := &blackout{fs: fs}
	b.left.Store(int64(rapid.IntRange(1, 120).Draw(f.t, "operations until the crash")))
	b.taken = func() {
		f.after, f.state = f.h.crash(func() *crashfs.FS { return die(fs, keep, r) })
	}
	fs.SetFault(b.fault)
	l := openFor(f.t, fs, f.cfg, f.h.uploaded)
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
	if f.after == nil { // it ended before the crash
		f.after, f.state = f.h.crash(func() *crashfs.FS { return die(fs, keep, r) })
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
			continue
		}
		if err := <-c; err != nil {
			f.t.Fatalf("write: %v", err)
		}
		for _, c := range under {
			if err := <-c; err != nil {
				f.t.Fatalf("write: %v", err)
			}
		}
		under = under[:0]
		if pick := rapid.IntRange(0, 400).Draw(f.t, "truncate, above 300 not"); pick <= 300 && pick%3 == 0 {
			truncate(f.t, l, f.h, pick)
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

// reclaim uploads all partitions, or one, when space runs short.
func (f *life) reclaim(l *Log) {
	used, capacity := l.Usage()
	if used < capacity/2 {
		return
	}
	if rapid.Bool().Draw(f.t, "upload all") {
		f.h.upload(l)
		return
	}
	f.h.upload(l, int32(rapid.IntRange(0, 2).Draw(f.t, "partition")))
}

// TestCrashes runs several lives of a log, each of which ends at some operation of
// recovery or writing. The next one finds everything that was acknowledged, in
// order, and beyond that only writes that were in flight.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := small()
		cfg.CapacityBytes = 1 << 20 // large enough that writers never wait
		cfg.Inflight = rapid.IntRange(1, 8).Draw(t, "inflight")
		h, src, fs := &history{}, &source{}, crashfs.New(4<<20)
		for range rapid.IntRange(1, 6).Draw(t, "lives") {
			f := &life{t: t, cfg: cfg, h: h, src: src}
			f.run(fs)
			fs = f.after
			got, report := recoverAll(t, fs.Kill(), cfg)
			if err := h.check(got, f.state); err != nil {
				t.Fatalf("%v\n%+v", err, report)
			}
			if len(report.Corruptions) > 0 {
				t.Fatalf("a crash was reported as corruption: %+v", report)
			}
			again, _ := recoverAll(t, fs.Kill(), cfg)
			if err := h.check(again, f.state); err != nil || len(again) != len(got) {
				t.Fatalf("recovery is not idempotent: %d then %d batches, %v", len(got), len(again), err)
			}
			if f.alone {
				h.resume(f.state)
			} else {
				h.rebase(got, f.state)
			}
		}
	})
}

// With Interval, losses are allowed, but only at the end, and none if only the process
// dies.
func TestCrashesWithInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := small()
		cfg.CapacityBytes, cfg.FsyncOnWrite = 1<<20, false
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
