package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/blockfs/faultfs"
	"github.com/sluicemq/sluice/internal/flow"
)

// faults are the ways in which an operation can fail.
var faults = []string{"EIO", "late EIO", "ENOSPC", "short", "slow 20ms"}

// ordeal is one life of a log during which something fails: it recovers, writes
// several segments, reclaims, idles and drains.
type ordeal struct {
	t    *testing.T
	cfg  Config
	disk *crashfs.FS
	fs   *faultfs.FS
	h    *history
	src  *source

	mu     sync.Mutex
	nacked error // the first nack
}

func newOrdeal(t *testing.T, d Durability) *ordeal {
	cfg := small()
	cfg.FsyncOnWrite, cfg.IdleSeal, cfg.Inflight = d == Sync, 10*time.Millisecond, 4
	o := &ordeal{t: t, cfg: cfg, disk: crashfs.New(1 << 20), h: &history{}, src: &source{}}
	var err error
	if o.fs, err = faultfs.New(o.disk, ""); err != nil {
		t.Fatal(err)
	}
	r := start(opened(t, o.fs, cfg))
	for range 12 {
		g := o.src.group(9000)
		o.h.submitted(g)
		r.settled = o.h.settled
		r.write(t, g)
	}
	r.close(t)
	return o
}

// live runs the life with the fault given by the expression. If the log fails to open,
// the error must be the disk's.
func (o *ordeal) live(expression string) {
	if err := o.fs.Set(expression); err != nil {
		o.t.Fatal(err)
	}
	l, err := o.recover()
	if err != nil {
		if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
			o.t.Errorf("the log did not open, but not because of the disk: %v", err)
		}
		return
	}
	r := start(l)
	r.settled = o.settled
	stop := o.upload(l)
	defer stop()
	var under []<-chan error
	for i := range 24 {
		g := o.src.group(3000+i, 6000)
		o.h.submitted(g)
		under = append(under, r.submit(g))
		switch i % 8 {
		case 5:
			for _, c := range under {
				<-c
			}
			under = under[:0]
			o.truncate(l, i)
		case 7:
			time.Sleep(2 * o.cfg.IdleSeal) // long enough for a seal
		}
	}
	for _, c := range under {
		<-c
	}
	o.checkLatch(l, r)
	stop()
	r.shut()
	if err := <-r.done; err != nil {
		o.t.Errorf("run: %v", err)
	}
	if l.Err() == nil && o.mustLatch(expression) {
		o.t.Errorf("%v failed, but the log has not", o.fs.Hits())
	}
	r.release()
	if lent := l.pool.Lent(); lent != 0 {
		o.t.Errorf("%d bytes of images leaked", lent)
	}
	if err := l.Close(); err != nil {
		o.t.Error(err)
	}
}

// recover opens and recovers the log. Batches may be missing only if the report says so.
func (o *ordeal) recover() (*Log, error) {
	l, err := Open(o.fs, o.cfg, deps(o.fs, o.h.uploaded))
	if err != nil {
		return nil, err
	}
	got, report, err := recovered(l)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if len(report.Corruptions) == 0 {
		if err := o.h.check(got, o.h.state()); err != nil {
			o.t.Error(err)
		}
		return l, nil
	}
	if err := l.Close(); err != nil {
		o.t.Error(err)
	}
	return nil, fmt.Errorf("%w: %v", syscall.EIO, report.Corruptions)
}

// settled records a verdict. After a nack there must be no ack.
func (o *ordeal) settled(g *flow.Group, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil && o.nacked != nil:
		o.t.Errorf("a group was acknowledged after one that was not: %v", o.nacked)
	case err != nil && !errors.Is(err, ErrFailed):
		o.t.Errorf("nacked with %v", err)
	case err != nil && o.nacked == nil:
		o.nacked = err
	}
	o.h.settled(g, err)
}

// truncate truncates a partition at one of its batches. That must succeed unless the log
// has failed.
func (o *ordeal) truncate(l *Log, pick int) {
	failed := l.Err()
	err := o.h.truncate(func(index int32, offset int64) error {
		return l.Truncate(context.Background(), partitionOf(index), offset)
	}, pick)
	if err != nil && !errors.Is(err, ErrFailed) || err == nil && failed != nil {
		o.t.Errorf("truncate: %v, on a log that had failed with %v", err, failed)
	}
}

// checkLatch submits one more group, which a failed log must not acknowledge.
func (o *ordeal) checkLatch(l *Log, r *rig) {
	failed := l.Err()
	if failed == nil && o.nacked != nil {
		o.t.Errorf("groups were nacked although the log has not failed: %v", o.nacked)
	}
	g := o.src.group(10)
	o.h.submitted(g)
	err := <-r.submit(g)
	if failed != nil && !errors.Is(err, ErrFailed) {
		o.t.Errorf("a log that failed with %v settled the next group with %v", failed, err)
	}
}

// mustLatch reports whether the failure must fail the log, since it is unknown what is
// on disk. Preparing, removing and reclaiming segments can be retried.
func (o *ordeal) mustLatch(expression string) bool {
	if strings.Contains(expression, "slow") {
		return false
	}
	for _, op := range o.fs.Hits() {
		switch op.Kind {
		case faultfs.Write, faultfs.Sync, faultfs.SyncDir:
			return true
		case faultfs.Rename:
			return strings.HasPrefix(op.Name, sparePrefix)
		}
	}
	return false
}

// upload uploads on request, as an uploader does.
func (o *ordeal) upload(l *Log) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-l.Pressure():
				o.h.upload(l)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// verify loses power in each way and checks that everything acknowledged is there.
func (o *ordeal) verify(r *rand.Rand) {
	state := o.h.state()
	if !o.cfg.FsyncOnWrite {
		state.acked = 0 // a failed flush may lose everything, except what was durable at a truncation
	}
	for _, keep := range []crashfs.Keep{crashfs.Nothing, crashfs.Random, crashfs.Everything} {
		got, report := recoverAll(o.t, o.disk.Crash(keep, r), o.cfg)
		if err := o.h.check(got, state); err != nil {
			o.t.Errorf("after a crash that keeps %d: %v\n%+v", keep, err, report)
		}
		if len(report.Corruptions) > 0 {
			o.t.Errorf("after a crash that keeps %d: %+v", keep, report)
		}
	}
}

// TestEveryOperationFails fails each operation of a log's life in each way. The log
// acknowledges nothing after the failure, everything acknowledged before is still there,
// and the log neither hangs nor leaks.
func TestEveryOperationFails(t *testing.T) {
	for _, d := range []Durability{Sync, Interval} {
		var ops []faultfs.Op
		synctest.Test(t, func(t *testing.T) {
			o := newOrdeal(t, d)
			o.live("")
			ops = o.fs.Ops()
		})
		hits := 0
		for n := range ops {
			for i, fault := range faults {
				ok := t.Run(fmt.Sprintf("%s/%d-%s/%s", d, n+1, ops[n].Kind, fault), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						o := newOrdeal(t, d)
						o.live(fmt.Sprintf("* * #%d %s", n+1, fault))
						hits += len(o.fs.Hits())
						o.verify(rand.New(rand.NewPCG(uint64(n), uint64(i))))
					})
				})
				if !ok {
					return // report only one failure
				}
			}
		}
		if want := len(ops) * len(faults); hits < want*9/10 {
			t.Errorf("%s: only %d of %d faults happened", d, hits, want)
		}
		t.Logf("%s: %d operations, %d faults", d, len(ops), hits)
	}
}

// A failed reclaim is retried a little later, unless a sync failed.
func TestFailedReclaim(t *testing.T) {
	for _, fault := range []string{"rename * #1 EIO", "rename * #1 late EIO", "syncdir . #1 EIO", "syncdir . #1 late EIO"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrdeal(t, Sync)
				l := openedFor(t, o.fs, o.cfg, o.h.uploaded)
				r := start(l)
				synctest.Wait()
				if err := o.fs.Set(fault); err != nil {
					t.Fatal(err)
				}
				o.h.upload(l)
				synctest.Wait()
				if live, _ := l.segments.onDisk(); live < 2*o.cfg.SegmentSizeBytes {
					t.Errorf("%d bytes are left although reclaiming failed", live)
				}
				time.Sleep(2 * retry)
				live, _ := l.segments.onDisk()
				switch failed := l.Err(); {
				case strings.HasPrefix(fault, "syncdir") && !errors.Is(failed, syscall.EIO):
					t.Errorf("the directory may not be durable, but the log has not failed: %v", failed)
				case strings.HasPrefix(fault, "rename") && failed != nil:
					t.Error(failed)
				case failed == nil && live > o.cfg.SegmentSizeBytes:
					t.Errorf("%d bytes were not reclaimed", live)
				}
				r.close(t)
				o.verify(rand.New(rand.NewPCG(1, 1)))
			})
		})
	}
}

// TestDiskFull: while the disk is full, producers wait; nothing fails and nothing is
// lost.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrdeal(t, Sync)
		if err := o.fs.Set("create * #1-5 ENOSPC"); err != nil {
			t.Fatal(err)
		}
		o.cfg.CapacityBytes = 1 << 20
		r := start(opened(t, o.fs, o.cfg))
		r.settled = o.settled
		began := time.Now()
		for range 20 {
			g := o.src.group(9000)
			o.h.submitted(g)
			r.write(t, g)
		}
		if waited := time.Since(began); waited < retry || waited > 10*retry {
			t.Errorf("waited %s for space", waited)
		}
		select {
		case <-r.log.Pressure():
		default:
			t.Error("no upload was requested")
		}
		r.close(t)
		o.verify(rand.New(rand.NewPCG(1, 1)))
	})
}

// A failed sync is not retried, so the log must be reopened; then everything is there.
func TestFailedRecovery(t *testing.T) {
	for _, fault := range []string{"sync * #1 EIO", "sync * #1 late EIO", "read segment-* #1+ EIO"} {
		t.Run(fault, func(t *testing.T) {
			o := newOrdeal(t, Sync)
			if err := o.fs.Set(fault); err != nil {
				t.Fatal(err)
			}
			l := open(t, o.fs, o.cfg)
			if _, _, err := recovered(l); !errors.Is(err, syscall.EIO) {
				t.Errorf("recover: %v", err)
			}
			if _, _, err := recovered(l); err == nil {
				t.Error("Recover succeeded a second time")
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			o.verify(rand.New(rand.NewPCG(1, 1)))
		})
	}
}
