package wal

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
)

func TestWrittenGroupsAreRecoveredAndReadable(t *testing.T) {
	fs, src := crashfs.New(1<<20), &source{}
	l := opened(t, fs, small())
	l.segments.capacity = 1 << 20
	r := start(l)
	var groups []*flow.Group
	for i := range 40 { // rolls over several segments
		groups = append(groups, src.group(100, 3000+i, 1))
	}
	want := appends(groups...)
	for _, a := range want {
		a.Batch = bytes.Clone(a.Batch)
	}
	r.write(t, groups...)
	for _, g := range groups {
		image, err := r.log.ReadGroup(t.Context(), g.Position)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(image.Bytes(), g.Image.Bytes()) {
			t.Error("the image on disk is not the one that was passed on")
		}
		image.Release()
		for _, a := range appends(g) {
			dst := make(record.Batch, len(a.Batch))
			if err := r.log.ReadAt(t.Context(), entryOf(g, a), dst); err != nil || !bytes.Equal(dst, a.Batch) {
				t.Errorf("read %d: %v", a.At, err)
			}
		}
	}
	r.stop(t)
	got, report := recoverAll(t, fs, small())
	if err := same(got, want); err != nil {
		t.Error(err)
	}
	if report.Torn || len(report.Corruptions) > 0 || report.End != r.log.End() || report.Groups != 41 {
		t.Errorf("%+v, the log ended at %d", report, r.log.End())
	}
	r.release()
	if err := r.log.Close(); err != nil {
		t.Error(err)
	}
}

func TestGroupsPointIntoTheirImage(t *testing.T) {
	src := &source{}
	g := src.group(10, 20)
	refused := src.append(30)
	refused.Err = errDisk
	again := src.append(40)
	again.Duplicate = true
	g.Writes[0].Appends = append(g.Writes[0].Appends, refused, again)
	r := start(opened(t, crashfs.New(1<<20), small()))
	r.write(t, g)
	for _, a := range appends(g) {
		if in := g.Image.Bytes()[a.At:]; &in[0] != &a.Batch[0] {
			t.Error("a batch does not point into the image")
		}
	}
	if g.Position != blockfs.BlockSize || refused.At != 0 || again.At != 0 {
		t.Errorf("group at %d, refused at %d, duplicate at %d", g.Position, refused.At, again.At)
	}
	r.close(t)
}

func TestEmptyGroupPassesInOrder(t *testing.T) {
	fs, src := crashfs.New(1<<20), &source{}
	l := opened(t, fs, small())
	gate, writes := make(chan struct{}), 0
	fs.SetFault(func(op crashfs.Op) error {
		if op.Kind == crashfs.Write && !op.Applied && op.Len > 0 && op.Off > 0 {
			writes++
			<-gate
		}
		return nil
	})
	r := start(l)
	first := r.submit(src.group(10))
	empty := src.group()
	second := r.submit(empty)
	select {
	case <-second:
		t.Error("the empty group overtook others")
	case <-time.After(10 * time.Millisecond):
	}
	close(gate)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
	if writes != 1 || empty.Image != nil {
		t.Errorf("%d writes", writes)
	}
	fs.SetFault(nil)
	r.close(t)
}

// Later groups that complete before the first must not be emitted before it.
func TestPrefix(t *testing.T) {
	fs, src := crashfs.New(1<<20), &source{}
	l := opened(t, fs, small())
	gate, later := make(chan struct{}), make(chan struct{}, 10)
	fs.SetFault(func(op crashfs.Op) error {
		switch {
		case op.Kind != crashfs.Write:
		case op.Off == blockfs.BlockSize && !op.Applied:
			<-gate
		case op.Applied:
			later <- struct{}{}
		}
		return nil
	})
	r := start(l)
	first := r.submit(src.group(10))
	second, third := r.submit(src.group(10)), r.submit(src.group(10))
	<-later
	<-later
	if len(second)+len(third) > 0 || l.durable.Load() != 0 {
		t.Error("a group was passed on before the first was durable")
	}
	close(gate)
	for i, c := range []<-chan error{first, second, third} {
		if err := <-c; err != nil {
			t.Errorf("group %d: %v", i, err)
		}
	}
	fs.SetFault(nil)
	r.close(t)
}

func TestEveryReceiptSettlesOnce(t *testing.T) {
	src := &source{}
	groups := make([]*flow.Group, 100)
	for i := range groups {
		groups[i] = src.group(make([]int, i%4)...)
	}
	l := opened(t, crashfs.New(1<<20), small())
	l.segments.capacity = 1 << 20
	for _, g := range groups {
		if err := l.Image(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	out, verdicts, err := pipelinetest.Drive(t, l, groups...)
	if err != nil || len(out) != len(groups) {
		t.Fatalf("%d of %d, %v", len(out), len(groups), err)
	}
	for i, g := range out {
		if verdicts[i] != nil || g != groups[i] {
			t.Errorf("group %d: %v", i, verdicts[i])
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestRunRequiresRecover(t *testing.T) {
	l := open(t, crashfs.New(1<<20), small())
	r := start(l)
	if err := <-r.done; !errors.Is(err, ErrNotRecovered) {
		t.Error(err)
	}
	l.Close()
}

// TestIdleSeal: an idle log seals its last group as durable, once.
func TestIdleSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, src, cfg := crashfs.New(1<<20), &source{}, small()
		cfg.IdleSeal = 100 * time.Millisecond
		l := opened(t, fs, cfg)
		r := start(l)
		r.write(t, src.group(10))
		end := l.End()
		time.Sleep(99 * time.Millisecond)
		if l.End() != end {
			t.Error("sealed too soon")
		}
		time.Sleep(time.Hour)
		if l.End() != end+blockfs.BlockSize {
			t.Errorf("%d bytes of seals", l.End()-end)
		}
		r.close(t)
		if l.End() != end+blockfs.BlockSize {
			t.Error("sealed again at the end")
		}
	})
}

func TestIntervalFlushesBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, src, cfg := crashfs.New(1<<20), &source{}, small()
		cfg.FsyncOnWrite = false
		r := start(opened(t, fs, cfg))
		g := src.group(10)
		r.write(t, g)
		if got, _ := recoverAll(t, fs.Crash(crashfs.Nothing, nil), cfg); len(got) != 0 {
			t.Error("a group was on disk before the flush")
		}
		time.Sleep(cfg.FlushInterval)
		synctest.Wait()
		if got, _ := recoverAll(t, fs.Crash(crashfs.Nothing, nil), cfg); len(got) != 1 {
			t.Error("a group was not on disk after the flush")
		}
		r.write(t, src.group(10))
		r.close(t)
		if got, _ := recoverAll(t, fs.Crash(crashfs.Nothing, nil), cfg); len(got) != 2 {
			t.Error("a group was not on disk after the drain")
		}
	})
}

// If the graph ends while groups wait to be emitted, all are nacked, and the memory of
// their images is returned.
func TestAbort(t *testing.T) {
	src, receipts := &source{}, pipelinetest.NewReceipts(t)
	l := opened(t, crashfs.New(1<<20), small())
	ctx, abort := context.WithCancelCause(t.Context())
	in, emit, _ := pipeline.Pipe[*flow.Group](16)
	out := func(ctx context.Context, p pipeline.Parcel[*flow.Group]) error {
		<-ctx.Done()
		p.Settle(context.Cause(ctx))
		return context.Cause(ctx)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, in, out) }()
	for range 5 {
		g := src.group(100)
		if err := l.Image(ctx, g); err != nil {
			t.Fatal(err)
		}
		inner := receipts.Receipt()
		_ = emit(ctx, pipeline.Parcel[*flow.Group]{Body: g, Receipt: pipeline.NewReceipt(func(err error) {
			g.Image.Release()
			inner.Settle(err)
		})})
	}
	for l.completed.Load() == 0 {
		runtime.Gosched()
	}
	abort(errDisk)
	if err := <-done; !errors.Is(err, errDisk) {
		t.Error(err)
	}
	for p, ok := in.TryRecv(); ok; p, ok = in.TryRecv() {
		p.Settle(errDisk) // as the engine does with parcels never received
	}
	if _, acked, nacked := receipts.Counts(); acked != 0 || nacked != 5 {
		t.Errorf("%d acked, %d nacked", acked, nacked)
	}
	if lent := l.pool.Lent(); lent != 0 {
		t.Errorf("%d bytes of images leaked", lent)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
