package wal

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// throttled returns a log of 16 segments of 1 MiB.
func throttled(t *testing.T, done Done) (*Log, *rig) {
	cfg := small()
	cfg.SegmentSizeBytes, cfg.CapacityBytes = 1<<20, 16<<20
	l := openedFor(t, crashfs.New(32<<20), cfg, done)
	return l, start(l)
}

// TestThrottleKeepsSpaceFree: a producer is faster than the uploads, which reclaim a
// segment every 50 ms. It is throttled evenly to their rate, and there is always space
// left.
func TestThrottleKeepsSpaceFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every, size = 50 * time.Millisecond, 100_000
		var uploaded atomic.Int64
		l, r := throttled(t, func(_ topic.Partition, end int64) bool { return end <= uploaded.Load() })
		stop := time.NewTicker(every)
		defer stop.Stop()
		over := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop.C:
					uploaded.Add(1 << 20 / size)
					l.Reclaim()
				case <-over:
					return
				}
			}
		}()
		src, longest, began, bytes, before := &source{}, time.Duration(0), time.Now(), 0, 0.0
		for time.Since(began) < 5*time.Second {
			at := time.Now()
			r.write(t, src.group(size))
			r.release()
			bytes += size
			if time.Since(began) <= time.Second { // while it learns the rate
				before = testutil.ToFloat64(l.metrics.waited)
				continue
			}
			longest = max(longest, time.Since(at))
		}
		close(over)
		if waited := testutil.ToFloat64(l.metrics.waited) - before; waited > 0 {
			t.Errorf("the log was full for %.3f s", waited)
		}
		if longest > every/2 {
			t.Errorf("a group was delayed by %s; the upload of a segment takes %s", longest, every)
		}
		if rate, want := float64(bytes)/time.Since(began).Seconds(), 20.0*(1<<20); rate < want*0.9 {
			t.Errorf("%.0f bytes per second, uploads reclaim %.0f", rate, want)
		}
		if used, capacity := l.Usage(); used < capacity/2 {
			t.Errorf("only %d bytes of %d are used although the producer is faster than the uploads", used, capacity)
		}
		r.close(t)
	})
}

// Throttling is pointless while nothing is reclaimed.
func TestThrottleIsOffWhileTheStoreIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := throttled(t, nothing)
		time.Sleep(throttlePatience + time.Second)
		src, began := &source{}, time.Now()
		for {
			used, capacity := l.Usage()
			if used > capacity-2*l.cfg.SegmentSizeBytes {
				break
			}
			r.write(t, src.group(100_000))
			r.release()
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("filling the log took %s", took)
		}
		r.close(t)
	})
}

// TestGroupsKeepToTheRateThatIsSaid: groups are limited to the rate given by others, however much
// space is free.
func TestGroupsKeepToTheRateThatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openedFor(t, crashfs.New(32<<20), small(), func(topic.Partition, int64) bool { return true })
		rate := 40. * (1 << 20)
		l.rate = func(end partition.Position) float64 {
			if end != l.End() {
				t.Errorf("asked for position %d, the log has got to %d", end, l.End())
			}
			return rate
		}
		r := start(l)
		src := &source{}
		fill := func() (took time.Duration, bytes int) {
			began := time.Now()
			for bytes < 20<<20 {
				r.write(t, src.group(10_000))
				r.release()
				l.Reclaim()
				bytes += 10_000
			}
			return time.Since(began), bytes
		}
		took, bytes := fill()
		if want := time.Duration(float64(bytes) / rate * float64(time.Second)); took < want*9/10 || took > want*12/10 {
			t.Errorf("%d bytes took %s, want %s", bytes, took, want)
		}
		rate = 0
		if took, bytes := fill(); took > 50*time.Millisecond {
			t.Errorf("%d bytes took %s without a rate", bytes, took)
		}
		r.close(t)
	})
}
