package wal

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/blockfs/faultfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// TestNamesAreDurableAfterRestart: the process dies between the rename of a spare segment
// and the sync of the directory. The next process finds the segment and writes to it; then
// power is lost.
func TestNamesAreDurableAfterRestart(t *testing.T) {
	fs, src, cfg := crashfs.New(1<<20), &source{}, small()
	l := opened(t, fs, cfg)
	r := start(l)
	r.write(t, src.group(40_000))
	fs.SetFault(func(op crashfs.Op) error {
		if op.Kind == crashfs.SyncDir {
			return errDisk
		}
		return nil
	})
	if err := <-r.submit(src.group(40_000)); !errors.Is(err, errDisk) {
		t.Fatalf("a group that needs a segment: %v", err)
	}
	fs.SetFault(nil)
	r.close(t)

	src.made-- // that batch was not written
	l = opened(t, fs, cfg)
	if n := len(l.segments.snapshot()); n != 2 {
		t.Fatalf("%d segments", n)
	}
	r = start(l)
	r.write(t, src.group(10))
	got, report := recoverAll(t, fs.Crash(crashfs.Nothing, nil), cfg)
	if len(got) != 2 || len(report.Corruptions) > 0 {
		t.Errorf("%d of 2 acknowledged batches, %+v", len(got), report)
	}
	r.close(t)
}

// A truncation arrives during a flush: what the flush covers is not durable before the
// flush has returned.
func TestFlushesDoNotOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, src, cfg := crashfs.New(1<<20), &source{}, small()
		cfg.FsyncOnWrite = false
		r := start(opened(t, fs, cfg))
		r.write(t, src.group(10))
		flushing, gate := make(chan struct{}), make(chan struct{})
		fs.SetFault(func(op crashfs.Op) error {
			if op.Kind == crashfs.Sync {
				close(flushing)
				<-gate
			}
			return nil
		})
		<-flushing
		fs.SetFault(nil)
		done := make(chan error, 1)
		go func() { done <- r.log.Truncate(t.Context(), partitionOf(1), 0) }()
		synctest.Wait()
		if d := r.log.durable.Load(); d > 0 || len(done) > 0 {
			t.Errorf("%d groups are durable and %d truncations done while the only flush waits", d, len(done))
		}
		got, report := recoverAll(t, fs.Crash(crashfs.Nothing, nil), cfg)
		if len(report.Corruptions) > 0 {
			t.Errorf("%d batches, %+v", len(got), report)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.close(t)
	})
}

// A group that gets no space because the stage ends or the log refuses more groups leaves
// no gap: nothing is written after it, even if there is space.
func TestNothingIsWrittenAfterAGap(t *testing.T) {
	t.Run("aborted", func(t *testing.T) {
		nothingBehindAGap(t, errDisk, errDisk, func(_ *Log, abort context.CancelCauseFunc, _ func()) { abort(errDisk) })
	})
	t.Run("refused", func(t *testing.T) {
		nothingBehindAGap(t, ErrStopping, nil, func(l *Log, _ context.CancelCauseFunc, shut func()) { l.Refuse(); l.Refuse(); shut() })
	})
}

func nothingBehindAGap(t *testing.T, verdict, result error, end func(l *Log, abort context.CancelCauseFunc, shut func())) {
	synctest.Test(t, func(t *testing.T) {
		disk, src, cfg := crashfs.New(1<<20), &source{}, small()
		fs, err := faultfs.New(disk, "")
		if err != nil {
			t.Fatal(err)
		}
		l := opened(t, fs, cfg)
		ctx, abort := context.WithCancelCause(t.Context())
		in, emit, shut := pipeline.Pipe[*flow.Group](16)
		done := make(chan error, 1)
		var out []*flow.Group
		go func() {
			done <- l.Run(ctx, in, func(_ context.Context, p pipeline.Parcel[*flow.Group]) error {
				p.Body.Image.Retain()
				out = append(out, p.Body)
				p.Settle(nil)
				return nil
			})
		}()
		submit := func(g *flow.Group) <-chan error {
			c := make(chan error, 1)
			if err := l.Image(context.Background(), g); err != nil {
				t.Fatal(err)
			}
			_ = emit(context.Background(), pipeline.Parcel[*flow.Group]{Body: g, Receipt: pipeline.NewReceipt(func(err error) {
				g.Image.Release()
				c <- err
			})})
			return c
		}
		for range 4 { // fills the log
			if err := <-submit(src.group(40_000)); err != nil {
				t.Fatal(err)
			}
		}
		large := submit(src.group(40_000))
		synctest.Wait() // now it waits for space
		small := submit(src.group(10))
		once := sync.OnceFunc(shut)
		end(l, abort, once)
		if a, b := <-large, <-small; !errors.Is(a, verdict) || !errors.Is(b, verdict) {
			t.Errorf("%v, %v", a, b)
		}
		if err := <-done; !errors.Is(err, result) {
			t.Error(err)
		}
		once()
		abort(nil)
		for _, g := range out {
			g.Image.Release()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got, _ := recoverAll(t, disk, cfg); len(got) != 4 {
			t.Errorf("%d batches, want the 4 acknowledged ones; the one after the gap was written", len(got))
		}
	})
}

// Groups larger than the capacity besides the segment in use, or than the whole capacity,
// wait for uploads and are then written.
func TestLargeGroupsFindSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, src, cfg := crashfs.New(4<<20), &source{}, small()
		l := openedFor(t, fs, cfg, everything)
		r := start(l)
		ctx, stop := context.WithCancel(t.Context())
		var uploads sync.WaitGroup
		uploads.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-l.Pressure():
					l.Reclaim()
				case <-ctx.Done():
				}
			}
		})
		for _, size := range []int{40_000, 200_000, 200_000, 40_000, 300_000, 300_000, 10} {
			select {
			case err := <-r.submit(src.group(size)):
				if err != nil {
					t.Fatalf("a group of %d bytes: %v", size, err)
				}
			case <-time.After(time.Minute):
				t.Fatalf("a group of %d bytes waits forever in a log of %d", size, cfg.CapacityBytes)
			}
			r.release()
		}
		stop()
		uploads.Wait()
		r.close(t)
		if got, _ := recoverAll(t, fs, cfg); len(got) == 0 || got[len(got)-1].Base != src.made-1 {
			t.Errorf("%d batches are left", len(got))
		}
	})
}
