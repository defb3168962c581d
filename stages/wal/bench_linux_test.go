package wal

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/uring"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

const (
	benchWrite = 64 << 10 // bytes per write, and per group on disk
	benchDepth = 16
	benchRound = 32 << 20 // bytes per contestant and round
	benchFile  = 128 << 20
)

// BenchmarkAppend compares the WAL, a bare io_uring of the same depth, and one
// pwrite at a time, alternating in each round. It reports the medians of the
// rounds.
func BenchmarkAppend(b *testing.B) {
	file := newOverwritten(b)
	log := newBenchLog(b)
	ring := newBenchRing(b, file)
	contenders := []struct {
		name  string
		write func(n int)
		took  []float64
	}{{name: "wal", write: log.write}, {name: "ring", write: ring.write}, {name: "pwrite", write: file.write}}
	log.write(2 * int(log.cfg.CapacityBytes) / benchWrite) // all segments are recycled from now on
	b.ResetTimer()
	for b.Loop() {
		for i := range contenders {
			c := &contenders[i]
			began := time.Now()
			c.write(benchRound / benchWrite)
			c.took = append(c.took, time.Since(began).Seconds())
		}
	}
	var median [3]float64
	for i, c := range contenders {
		slices.Sort(c.took)
		median[i] = c.took[len(c.took)/2]
		b.ReportMetric(benchRound/median[i]/1e6, c.name+"-MB/s")
	}
	b.ReportMetric(median[1]/median[0], "wal/ring")
	b.ReportMetric(median[2]/median[0], "wal/pwrite")
}

// overwritten is a file that is overwritten cyclically.
type overwritten struct {
	b      *testing.B
	fd     int
	memory []byte
	next   int64
}

func newOverwritten(b *testing.B) *overwritten {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "f"), os.O_CREATE|os.O_RDWR|unix.O_DIRECT, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	zeroes := blockfs.Aligned(1 << 20)
	for off := int64(0); off < benchFile; off += int64(len(zeroes)) {
		if _, err := f.WriteAt(zeroes, off); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &overwritten{b: b, fd: int(f.Fd()), memory: blockfs.Aligned(benchWrite * benchDepth)}
}

// place returns the offset of the next write.
func (f *overwritten) place() int64 {
	f.next = (f.next + benchWrite) % benchFile
	return f.next
}

func (f *overwritten) write(n int) {
	for range n {
		if _, err := unix.Pwritev2(f.fd, [][]byte{f.memory[:benchWrite]}, f.place(), unix.RWF_DSYNC); err != nil {
			f.b.Fatal(err)
		}
	}
}

// benchRing keeps depth writes in flight.
type benchRing struct {
	*overwritten
	ring *uring.Ring
	left int // writes still to start
	all  chan struct{}
}

func newBenchRing(b *testing.B, f *overwritten) *benchRing {
	ring, err := uring.New(benchDepth)
	if err != nil {
		b.Fatal(err)
	}
	r := &benchRing{overwritten: f, ring: ring, all: make(chan struct{})}
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		under := benchDepth
		_ = ring.Wait(func(tag uint64, res int) {
			if res != benchWrite {
				b.Errorf("write: %d", res)
			}
			if r.begin(tag) {
				return
			}
			if under--; under == 0 {
				under = benchDepth
				r.all <- struct{}{}
			}
		})
	}()
	b.Cleanup(func() {
		if err := ring.Close(); err != nil {
			b.Error(err)
		}
		<-waited
	})
	return r
}

func (r *benchRing) begin(slot uint64) bool {
	if r.left == 0 {
		return false
	}
	r.left--
	if err := r.ring.Write(r.fd, r.memory[int(slot)*benchWrite:][:benchWrite], r.place(), unix.RWF_DSYNC, slot); err != nil {
		r.b.Error(err)
	}
	return true
}

func (r *benchRing) write(n int) {
	r.left = n - benchDepth
	for slot := range benchDepth { // not counted in left, since others may already be completing
		if err := r.ring.Write(r.fd, r.memory[slot*benchWrite:][:benchWrite], int64(slot*benchWrite), unix.RWF_DSYNC, uint64(slot)); err != nil {
			r.b.Error(err)
		}
	}
	<-r.all
}

// benchLog is a log whose groups are reclaimed at once.
type benchLog struct {
	b       *testing.B
	cfg     Config
	log     *Log
	emit    pipeline.Emit[*flow.Group]
	batch   record.Batch
	base    int64
	settled chan struct{}
	missing atomic.Int64
	passed  atomic.Int64 // offset below which everything may be reclaimed
}

func newBenchLog(b *testing.B) *benchLog {
	dir, err := blockfs.OpenDir(b.TempDir(), blockfs.Options{}, discard())
	if err != nil {
		b.Fatal(err)
	}
	w := &benchLog{b: b, cfg: DefaultConfig(), settled: make(chan struct{}, 1)}
	w.cfg.CapacityBytes, w.cfg.Inflight = 4*w.cfg.SegmentSizeBytes, benchDepth
	w.batch, err = record.NewBuilder().Add(1, nil, make([]byte, benchWrite-300)).Build()
	if err != nil {
		b.Fatal(err)
	}
	w.log = openedFor(b, dir, w.cfg, func(_ topic.Partition, end int64) bool { return end <= w.passed.Load() })
	in, emit, shut := pipeline.Pipe[*flow.Group](16)
	w.emit = emit
	done := make(chan error, 1)
	go func() { done <- w.log.Run(context.Background(), in, w.pass) }()
	b.Cleanup(func() {
		shut()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := w.log.Close(); err != nil {
			b.Error(err)
		}
		dir.Close()
	})
	return w
}

// pass receives every completed group.
func (w *benchLog) pass(_ context.Context, p pipeline.Parcel[*flow.Group]) error {
	last := p.Body.Writes[0].Appends[0].BaseOffset
	p.Settle(nil)
	if used, capacity := w.log.Usage(); used > capacity/2 { // like an uploader running in parallel
		w.passed.Store(last + 1)
		w.log.Reclaim()
	}
	return nil
}

func (w *benchLog) write(n int) {
	w.missing.Store(int64(n))
	for range n {
		a := &flow.Append{Partition: topic.Partition{Topic: aTopic}, Batch: w.batch, BaseOffset: w.base}
		w.base++
		g := &flow.Group{Writes: []*flow.Write{{Appends: []*flow.Append{a}}}, Bytes: benchWrite}
		if err := w.log.Image(context.Background(), g); err != nil {
			w.b.Fatal(err)
		}
		receipt := pipeline.NewReceipt(func(err error) {
			g.Image.Release()
			if err != nil {
				w.b.Error(err)
			}
			if w.missing.Add(-1) == 0 {
				w.settled <- struct{}{}
			}
		})
		if err := w.emit(context.Background(), pipeline.Parcel[*flow.Group]{Body: g, Size: benchWrite, Receipt: receipt}); err != nil {
			w.b.Fatal(err)
		}
	}
	<-w.settled
}
