package wal

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

// gates hold operations of a disk, each individually, until the test opens them.
type gates struct {
	mu     sync.Mutex
	writes bool // hold new writes of groups
	reads  bool
	held   []chan struct{}
}

func (g *gates) fault(op crashfs.Op) error {
	g.mu.Lock()
	hold := g.reads && op.Kind == crashfs.Read ||
		g.writes && op.Kind == crashfs.Write && !op.Applied && op.Off >= blockfs.BlockSize
	if !hold {
		g.mu.Unlock()
		return nil
	}
	c := make(chan struct{})
	g.held = append(g.held, c)
	g.mu.Unlock()
	<-c
	return nil
}

// open releases one operation.
func (g *gates) open(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.held) > 0 {
		i %= len(g.held)
		close(g.held[i])
		g.held = slices.Delete(g.held, i, i+1)
	}
}

// set chooses which operations are held from now on.
func (g *gates) set(writes, reads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writes, g.reads = writes, reads
}

// openAll releases all held operations and holds no more.
func (g *gates) openAll() {
	g.set(false, false)
	for len(g.held) > 0 {
		g.open(0)
		synctest.Wait()
	}
}

// existence is a log whose segments are allocated, written, flushed, uploaded,
// truncated, read, retired and reused in any order, with crashes in between.
type existence struct {
	t     *rapid.T
	cfg   Config
	h     *history
	src   *source
	gates *gates
	disk  *crashfs.FS
	rig   *rig
	under []<-chan error
	reads sync.WaitGroup
}

func (e *existence) begin() {
	l := openedFor(e.t, e.disk, e.cfg, e.h.uploaded)
	e.disk.SetFault(e.gates.fault)
	e.rig = start(l)
	e.rig.settled = e.h.settled
}

// rest lets all operations finish.
func (e *existence) rest() {
	e.gates.openAll()
	for _, c := range e.under {
		if err := <-c; err != nil {
			e.t.Fatalf("write: %v", err)
		}
	}
	e.under = nil
	e.reads.Wait()
}

func (e *existence) end() {
	e.rest()
	e.rig.close(e.t)
	e.rig = nil
	e.disk.SetFault(nil)
}

// abandon stops the log after a failed test.
func (e *existence) abandon() {
	if e.rig != nil {
		e.gates.openAll()
		e.rig.shut()
		<-e.rig.done
	}
}

// submit submits groups, of which two to four fill a segment, unless so many are in
// flight that they would have to wait. If slowly is set, the first group's write is held.
func (e *existence) submit(t *rapid.T, slowly bool) {
	e.gates.set(slowly, false)
	for range rapid.IntRange(1, 5).Draw(t, "groups") {
		used, capacity := e.rig.log.Usage()
		if len(e.under) >= 12 || used > capacity-3*e.cfg.SegmentSizeBytes {
			break
		}
		sizes := rapid.SliceOfN(rapid.IntRange(0, 50_000), 0, 2).Draw(t, "sizes")
		if rapid.IntRange(0, 9).Draw(t, "large") == 9 {
			sizes = append(sizes, 70_000) // gets its own segment, which is removed when done
		}
		g := e.src.group(sizes...)
		e.h.submitted(g)
		e.under = append(e.under, e.rig.submit(g))
		synctest.Wait()
		e.gates.set(false, false)
	}
}

// read starts reading a batch that must be there. The read may be held for a long time.
func (e *existence) read(w *written) {
	e.reads.Go(func() {
		dst := make([]byte, len(w.batch))
		if err := e.rig.log.ReadAt(context.Background(), w.entry(), dst); err != nil {
			e.t.Errorf("read offset %d: %v", w.base, err)
		} else if !bytes.Equal(dst, w.batch) {
			e.t.Errorf("offset %d is read wrong", w.base)
		}
	})
}

// wanted returns the acknowledged batches that must be readable.
func (e *existence) wanted() (out []*written) {
	e.h.mu.Lock()
	defer e.h.mu.Unlock()
	for _, w := range e.h.valid(len(e.h.begun)) {
		if w.base < e.h.acked && w.base >= e.h.tier[w.partition] {
			out = append(out, w)
		}
	}
	return out
}

// crash checks what a crash at this moment would leave, and may continue with that.
func (e *existence) crash(t *rapid.T) {
	keep := rapid.SampledFrom([]crashfs.Keep{killed, crashfs.Nothing, crashfs.Everything, crashfs.Random}).Draw(t, "keep")
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "sectors"), 0))
	after, state := e.h.crash(func() *crashfs.FS { return die(e.disk, keep, r) })
	if !e.cfg.FsyncOnWrite && keep != killed && keep != crashfs.Everything {
		state.acked = 0 // unflushed groups may be lost
	}
	got, report := recoverAll(t, after.Kill(), e.cfg)
	if err := e.h.check(got, state); err != nil {
		t.Fatalf("%v\n%+v", err, report)
	}
	if len(report.Corruptions) > 0 {
		t.Fatalf("a crash was reported as corruption: %+v", report)
	}
	if keep == killed || rapid.IntRange(0, 3).Draw(t, "continue with it") > 0 {
		return
	}
	acked := e.h.acked
	e.end()
	e.h.rebase(got, state)
	if len(got) == 0 {
		e.h.acked = acked
	}
	e.disk = after
	e.begin()
}

// check verifies that everything needed is readable, and that nothing else is kept.
func (e *existence) check(t *rapid.T) {
	synctest.Wait()
	e.gates.set(false, false)
	for _, w := range e.wanted() {
		dst := make([]byte, len(w.batch))
		if err := e.rig.log.ReadAt(context.Background(), w.entry(), dst); err != nil || !bytes.Equal(dst, w.batch) {
			t.Fatalf("the batch at offset %d was acknowledged: %v", w.base, err)
		}
	}
	if err := e.rig.log.Err(); err != nil {
		t.Fatal(err)
	}
}

// idle verifies that a single segment is left when nothing is in flight and everything is
// in objects.
func (e *existence) idle(t *rapid.T) {
	e.rest()
	time.Sleep(2 * e.cfg.FlushInterval)
	e.h.upload(e.rig.log)
	synctest.Wait()
	if n := len(e.rig.log.segments.snapshot()); n != 1 {
		t.Fatalf("%d segments are kept for no reason", n)
	}
}

// TestLifeOfASegment performs everything that can happen to segments, in any order. At any
// time, what was acknowledged and is not in objects is readable, and would survive a
// crash; a held segment is not reused; an unneeded one is reclaimed.
func TestLifeOfASegment(t *testing.T) {
	for _, durability := range []Durability{Sync, Interval} {
		t.Run(string(durability), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(bubble{t}, func(t *rapid.T) { liveAtRandom(t, durability) })
			})
		})
	}
}

// bubble is a test in a synctest bubble. It hides the deadline, which must not be read
// there.
type bubble struct{ *testing.T }

func liveAtRandom(t *rapid.T, durability Durability) {
	cfg := small()
	cfg.CapacityBytes, cfg.FsyncOnWrite = 1<<20, durability == Sync
	cfg.Inflight = rapid.IntRange(1, 8).Draw(t, "inflight")
	e := &existence{t: t, cfg: cfg, h: &history{}, src: &source{}, gates: &gates{}, disk: crashfs.New(4 << 20)}
	e.begin()
	t.Cleanup(e.abandon)
	t.Repeat(map[string]func(*rapid.T){
		"submit":        func(t *rapid.T) { e.submit(t, false) },
		"submit more":   func(t *rapid.T) { e.submit(t, false) },
		"submit slowly": func(t *rapid.T) { e.submit(t, true) },
		"a write ends":  func(t *rapid.T) { e.gates.open(rapid.IntRange(0, 100).Draw(t, "which")) },
		"flush":         func(*rapid.T) { time.Sleep(2 * cfg.FlushInterval) },
		"upload":        func(*rapid.T) { e.h.upload(e.rig.log) },
		"upload one": func(t *rapid.T) {
			e.h.upload(e.rig.log, int32(rapid.IntRange(0, 2).Draw(t, "partition")))
		},
		"delete": func(t *rapid.T) {
			last := int32(rapid.IntRange(0, 2).Draw(t, "last partition"))
			for p := range last + 1 {
				e.h.remove(p, e.src.made)
			}
			e.rig.log.Reclaim()
		},
		"read slowly": func(t *rapid.T) {
			wanted := e.wanted()
			if len(wanted) == 0 {
				t.Skip("nothing to read")
			}
			e.gates.set(false, true)
			e.read(wanted[rapid.IntRange(0, len(wanted)-1).Draw(t, "which")])
			synctest.Wait()
		},
		"truncate": func(t *rapid.T) {
			if pick := rapid.IntRange(0, 2000).Draw(t, "pick"); pick < 500 {
				e.rest()
				truncate(t, e.rig.log, e.h, pick)
			}
		},
		"crash": e.crash,
		"idle": func(t *rapid.T) {
			if rapid.IntRange(0, 4).Draw(t, "do") == 0 {
				e.idle(t)
			}
		},
		"": e.check,
	})
	e.end()
}

// remove deletes the topic of a partition: records below offset need not be kept.
func (h *history) remove(index int32, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	tier := map[int32]int64{index: math.MinInt64}
	for p, end := range h.tier {
		tier[p] = end
	}
	tier[index] = max(tier[index], offset)
	h.tier = tier
}

// TestSegmentIsNotReusedBeforeALateWriteEnds: a write outlasts the deletion of its topic and
// the retirement of its segment. The segment must not be reused before the write ends.
func TestSegmentIsNotReusedBeforeALateWriteEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := small()
		cfg.CapacityBytes, cfg.Inflight = 1<<20, 8
		h, src, g, disk := &history{}, &source{}, &gates{}, crashfs.New(4<<20)
		l := openedFor(t, disk, cfg, h.uploaded)
		disk.SetFault(g.fault)
		r := start(l)
		r.settled = h.settled
		submit := func() <-chan error {
			group := src.group(30_000)
			h.submitted(group)
			return r.submit(group)
		}
		g.set(true, false)
		late := submit()
		synctest.Wait()
		g.set(false, false)
		under := []<-chan error{submit(), submit(), submit()}
		h.remove(0, src.made)
		h.remove(1, src.made)
		h.remove(2, src.made)
		for range 8 {
			l.Reclaim()
			synctest.Wait()
			under = append(under, submit())
		}
		synctest.Wait()
		g.openAll()
		for _, c := range append(under, late) {
			if err := <-c; err != nil {
				t.Fatal(err)
			}
		}
		for _, w := range h.appends[4:] {
			dst := make([]byte, len(w.batch))
			if err := l.ReadAt(t.Context(), w.entry(), dst); err != nil || !bytes.Equal(dst, w.batch) {
				t.Errorf("the batch at offset %d was acknowledged: %v", w.base, err)
			}
		}
		synctest.Wait()
		if n := l.segments.snapshot()[0].start; n == 0 {
			t.Error("the first segment is kept for no reason")
		}
		r.close(t)
	})
}
