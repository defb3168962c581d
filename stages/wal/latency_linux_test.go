package wal

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/blockfs/uring"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// BenchmarkGroupCommit submits groups of 64 KiB at half the rate that the log was just
// measured to sustain. It compares the time each takes to become durable with that of a
// synchronous write of the same size to the same disk, and of writes through a bare
// io_uring, alternating.
func BenchmarkGroupCommit(b *testing.B) {
	file := newOverwritten(b)
	log := newBenchLog(b)
	ring := newPacedRing(b, file)
	log.write(2 * int(log.cfg.CapacityBytes) / benchWrite) // all segments are recycled from now on
	var device, bare, commit []float64
	b.ResetTimer()
	for b.Loop() {
		for range 200 {
			began := time.Now()
			file.write(1)
			device = append(device, time.Since(began).Seconds())
		}
		const n = benchRound / benchWrite
		began := time.Now()
		log.write(n)
		interval := 2 * time.Since(began) / n
		commit = append(commit, log.paced(b, n, interval)...)
		bare = append(bare, ring.paced(b, n, interval)...)
	}
	at := func(s []float64, q float64) float64 { return s[int(q*float64(len(s)-1))] }
	for _, c := range []struct {
		name string
		took []float64
	}{{"device", device}, {"ring", bare}, {"commit", commit}} {
		slices.Sort(c.took)
		b.ReportMetric(at(c.took, .5)*1e6, c.name+"-p50-µs")
		b.ReportMetric(at(c.took, .99)*1e6, c.name+"-p99-µs")
	}
	b.ReportMetric(at(commit, .99)/at(device, .5), "commit-p99/device-p50")
	b.ReportMetric(at(commit, .99)/at(device, .99), "commit-p99/device-p99")
	b.ReportMetric(at(commit, .99)/at(bare, .99), "commit-p99/ring-p99")
}

// every calls f at a fixed interval from a dedicated thread, whose sleep is accurate to
// microseconds. The runtime's timers are up to a millisecond late, so calls would come in
// bursts.
func every(b *testing.B, n int, interval time.Duration, f func(i int)) {
	over := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and so does its timer slack
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0); err != nil {
			over <- err
			return
		}
		began := time.Now()
		for i := range n {
			due := began.Add(time.Duration(i) * interval)
			for wait := time.Until(due); wait > 0; wait = time.Until(due) {
				pause := unix.NsecToTimespec(int64(wait))
				_ = unix.Nanosleep(&pause, nil) // may be interrupted by a signal
			}
			f(i)
		}
		over <- nil
	}()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
}

// paced submits n groups, one per interval, and returns how many seconds each
// took.
func (w *benchLog) paced(b *testing.B, n int, interval time.Duration) []float64 {
	var all sync.WaitGroup
	took := make([]float64, n)
	all.Add(n)
	every(b, n, interval, func(i int) {
		handed := time.Now()
		a := &flow.Append{Partition: topic.Partition{Topic: aTopic}, Batch: w.batch, BaseOffset: w.base}
		w.base++
		g := &flow.Group{Writes: []*flow.Write{{Appends: []*flow.Append{a}}}, Bytes: benchWrite}
		receipt := pipeline.NewReceipt(func(err error) {
			defer all.Done()
			if err != nil {
				w.b.Error(err)
			}
			took[i] = time.Since(handed).Seconds()
		})
		if err := w.emit(context.Background(), pipeline.Parcel[*flow.Group]{Body: g, Size: benchWrite, Receipt: receipt}); err != nil {
			w.b.Error(err)
		}
	})
	all.Wait()
	return took
}

// pacedRing is a bare ring with spare slots for late writes.
type pacedRing struct {
	*overwritten
	ring *uring.Ring
	free chan int // slots
	at   [pacedDepth]time.Time
	took chan float64
}

const pacedDepth = 64

func newPacedRing(b *testing.B, f *overwritten) *pacedRing {
	ring, err := uring.New(pacedDepth)
	if err != nil {
		b.Fatal(err)
	}
	r := &pacedRing{overwritten: f, ring: ring, free: make(chan int, pacedDepth), took: make(chan float64, benchRound/benchWrite)}
	for slot := range pacedDepth {
		r.free <- slot
	}
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_ = ring.Wait(func(tag uint64, res int) {
			if res != benchWrite {
				b.Errorf("write: %d", res)
			}
			r.took <- time.Since(r.at[tag]).Seconds()
			r.free <- int(tag)
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

func (r *pacedRing) paced(b *testing.B, n int, interval time.Duration) []float64 {
	every(b, n, interval, func(int) {
		began := time.Now()
		slot := <-r.free
		r.at[slot] = began
		if err := r.ring.Write(r.fd, r.memory[:benchWrite], r.place(), unix.RWF_DSYNC, uint64(slot)); err != nil {
			b.Error(err)
		}
	})
	took := make([]float64, n)
	for i := range took {
		took[i] = <-r.took
	}
	return took
}
