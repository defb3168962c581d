package wal

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/topic"
)

func partitionOf(index int32) topic.Partition { return topic.Partition{Topic: aTopic, Index: index} }

// bases returns the recovered base offsets of a partition.
func bases(got []Recovered, index int32) (out []int64) {
	for _, r := range got {
		if r.Partition.Index == index {
			out = append(out, r.Base)
		}
	}
	return out
}

// TestTruncatedStaysAway truncates, continues to write, and restarts several times:
// truncated batches do not come back, and later ones are there.
func TestTruncatedStaysAway(t *testing.T) {
	for _, durability := range []Durability{Sync, Interval} {
		fs, src, cfg := crashfs.New(1<<20), &source{}, small()
		cfg.FsyncOnWrite = durability == Sync
		r := start(opened(t, fs, cfg))
		r.write(t, src.group(10, 10, 10, 10, 10, 10)) // 0 to 5, three partitions
		if err := r.log.Truncate(t.Context(), partitionOf(1), 4); err != nil {
			t.Fatal(err)
		}
		for range 10 { // over several segments
			r.write(t, src.group(6000, 6000))
		}
		power := fs.Crash(crashfs.Nothing, nil)
		if got, report := recoverAll(t, power, cfg); slices.Contains(bases(got, 1), 4) || len(report.Corruptions) > 0 {
			t.Errorf("%s: after a loss of power there are %v, %+v", durability, bases(got, 1), report)
		}
		r.close(t)
		for range 3 {
			r = start(opened(t, fs, cfg))
			r.write(t, src.group(10))
			r.close(t)
			got, report := recoverAll(t, fs, cfg)
			if b := bases(got, 1); b[0] != 1 || b[1] != 7 || report.Void != 1 || report.Truncations != 1 {
				t.Errorf("%s: %v, %+v", durability, b, report)
			}
			if b := bases(got, 0); b[0] != 0 || b[1] != 3 {
				t.Errorf("%s: another partition has %v", durability, b)
			}
		}
	}
}

// Segment headers tell whether a segment before the last contains a truncation.
func TestTruncationsAreFoundInAnySegment(t *testing.T) {
	fs, src, cfg := crashfs.New(1<<20), &source{}, small()
	cfg.CapacityBytes = 1 << 20
	var done atomic.Int64
	l := openedFor(t, fs, cfg, func(_ topic.Partition, end int64) bool { return end <= done.Load() })
	from := func() int {
		n, err := surveyFrom(t.Context(), l.segments.snapshot(), l.pool)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	r := start(l)
	for range 5 {
		r.write(t, src.group(20_000, 20_000))
	}
	if last := len(l.segments.snapshot()) - 1; last < 2 || from() != last {
		t.Errorf("a log of %d segments without truncations is read twice from %d on", last+1, from())
	}
	if err := l.Truncate(t.Context(), partitionOf(0), 3); err != nil {
		t.Fatal(err)
	}
	var end []Recovered
	for range 5 {
		r.write(t, src.group(20_000, 20_000))
		if from() == 0 {
			break
		}
	}
	if from() != 0 {
		t.Error("headers do not show the truncation")
	}
	behind := src.made
	for range 5 {
		r.write(t, src.group(20_000, 20_000))
	}
	done.Store(behind)
	l.Reclaim()
	eventually(t, "the truncation is reclaimed", func() bool { return from() != 0 })
	if last := len(l.segments.snapshot()) - 1; from() != last {
		t.Errorf("the truncation is reclaimed, but %d segments are read twice", last+1-from())
	}
	r.close(t)
	if end, _ = recoverAll(t, fs, cfg); len(end) == 0 {
		t.Error("nothing is left")
	}
}

func TestTruncateFails(t *testing.T) {
	fs, src := crashfs.New(1<<20), &source{}
	l := opened(t, fs, small())
	r := start(l)
	r.write(t, src.group(10))
	fs.SetFault(func(op crashfs.Op) error {
		if op.Kind == crashfs.Write {
			return errDisk
		}
		return nil
	})
	if err := l.Truncate(t.Context(), partitionOf(0), 0); !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
		t.Errorf("a write that failed: %v", err)
	}
	fs.SetFault(nil)
	if err := l.Truncate(t.Context(), partitionOf(0), 0); !errors.Is(err, ErrFailed) {
		t.Errorf("a log that has failed: %v", err)
	}
	if err := <-r.submit(src.group(10)); !errors.Is(err, ErrFailed) {
		t.Errorf("a group behind it: %v", err)
	}
	r.shut()
	<-r.done
	if err := l.Truncate(context.Background(), partitionOf(0), 0); !errors.Is(err, errEnded) {
		t.Errorf("a log that has stopped: %v", err)
	}
	r.release()
	l.Close()
	idle := open(t, fs, small())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := idle.Truncate(ctx, partitionOf(0), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a log that is not running: %v", err)
	}
	idle.Close()
}
