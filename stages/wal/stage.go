package wal

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// Run is the stage. The goroutine of Run builds groups and submits them; completer
// waits for each in turn and passes it on; flusher, with Interval, and keep work
// behind. Run it with one worker, once.
func (l *Log) Run(ctx context.Context, in *pipeline.In[*flow.Group], out pipeline.Emit[flow.Written]) error {
	if !l.recovered {
		return ErrNotRecovered
	}
	defer close(l.ended)
	ctx, stop := context.WithCancelCause(ctx)
	var behind sync.WaitGroup
	defer func() {
		stop(nil)
		behind.Wait()
	}()
	behind.Go(func() { l.keep(ctx) })
	behind.Go(func() { l.guardBehind(ctx) })
	f := newFlusher(l)
	stopFlusher := f.start()
	defer stopFlusher()
	s := newCompleter(l, f, out)
	var settling sync.WaitGroup
	settling.Go(func() {
		if err := s.run(ctx); err != nil {
			stop(err) // so that the builder does not wait for more
		}
	})
	b := builder{log: l, in: in, completer: s, brake: newBrake(l)}
	err := b.run(ctx)
	close(s.queue)
	settling.Wait()
	stopFlusher()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	l.finish(f)
	return nil
}

// finish leaves a log that says of itself that all of it is durable.
func (l *Log) finish(f *flusher) {
	if !l.cfg.FsyncOnWrite {
		f.flush()
	}
	if l.unsealed && l.Err() == nil && l.durable.Load()+1 == l.next.sequence {
		l.seal()
	}
}

// builder is the part of the stage that decides.
type builder struct {
	log       *Log
	in        *pipeline.In[*flow.Group]
	completer *completer
	brake     *brake
	idle      *time.Timer // made when first used
	broken    error       // why a group was not begun; nothing behind it is, or a hole remains
}

func (b *builder) run(ctx context.Context) error {
	for {
		p, err := b.receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t := <-b.completer.free
		t.parcel = p
		if err := b.submit(ctx, t); err != nil {
			if ctx.Err() == nil && !errors.Is(err, ErrStopping) {
				b.log.latch(err)
			}
			b.broken = err
			t.finish(err)
		}
		b.completer.queue <- t
	}
}

// submit begins to write the group of t. An error means that it was not begun,
// and never will be.
func (b *builder) submit(ctx context.Context, t *ticket) error {
	l := b.log
	if b.broken != nil {
		return b.broken
	}
	if err := l.Err(); err != nil {
		return err
	}
	g := t.parcel.Body
	if g.Image == nil {
		t.finish(nil)
		return nil
	}
	if err := b.brake.wait(ctx, g.Length); err != nil {
		return err
	}
	t.head = head{length: g.Length, count: g.Batches, body: g.Sum}
	segment, err := l.place(ctx, &t.head)
	if err != nil {
		return err
	}
	l.segments.placed(segment, g)
	t.head.encode(g.Image.Bytes())
	l.placed(&t.head)
	l.unsealed = true
	g.Image.Retain() // for the write, whatever becomes of the group meanwhile
	t.segment, t.image, t.began = segment, g.Image, time.Now()
	l.writer.Submit(blockfs.Request{File: segment.file, Off: segment.offset(t.head.position), Buffer: t.image,
		Mode: l.mode(), Done: t.written})
	return nil
}

// mode is how groups are written.
func (l *Log) mode() blockfs.Mode {
	if !l.cfg.FsyncOnWrite {
		return blockfs.Volatile
	}
	return blockfs.Durable
}

// receive waits for a group, and seals the log when none comes for a while.
func (b *builder) receive(ctx context.Context) (pipeline.Parcel[*flow.Group], error) {
	var one [1]pipeline.Parcel[*flow.Group]
	if b.idle == nil {
		b.idle = time.NewTimer(time.Hour)
		b.idle.Stop()
	}
	defer b.idle.Stop()
	for rested := false; ; {
		select {
		case t := <-b.log.truncations:
			t.done <- b.truncate(ctx, t)
		default:
		}
		if n, err := b.in.TryRecvBatch(one[:]); n > 0 || err != nil {
			return one[0], err
		}
		if !rested && b.log.unsealed {
			b.idle.Reset(b.log.cfg.IdleSeal)
			rested = true
		}
		select {
		case <-b.in.Ready():
		case t := <-b.log.truncations:
			t.done <- b.truncate(ctx, t)
			rested = false
		case <-b.idle.C:
			b.sealIdle()
		case <-ctx.Done():
			return one[0], context.Cause(ctx)
		}
	}
}

// sealIdle seals if everything is durable, and looks again later if not.
func (b *builder) sealIdle() {
	l := b.log
	switch {
	case l.Err() != nil:
		l.unsealed = false
	case l.durable.Load()+1 != l.next.sequence:
		b.idle.Reset(l.cfg.IdleSeal)
	default:
		l.seal()
	}
}

// seal writes a group without batches, whose head says that all before it is
// durable. Nothing else is being written. A write that fails latches the log.
func (l *Log) seal() {
	l.unsealed = false
	h := head{length: headSize}
	l.identify(&h)
	image := l.block[:h.padded()]
	clear(image)
	h.encode(image)
	l.placed(&h)
	if err := l.active.file.WriteAt(image, l.active.offset(h.position), blockfs.Durable); err != nil {
		l.latch(err)
		return
	}
	advance(&l.completed, h.sequence)
	advance(&l.durable, h.sequence)
	l.keepGuard()
	l.metrics.groups.Inc()
	l.metrics.bytes.Add(float64(h.padded()))
}

// keepGuard tells the guard how far the log has got.
func (l *Log) keepGuard() {
	if err := l.guard.update(func(e *extent) { e.durable = max(e.durable, l.durable.Load()) }); err != nil {
		l.latch(err)
	}
}

// guardBehind keeps the guard while groups are written, until ctx ends.
func (l *Log) guardBehind(ctx context.Context) {
	for {
		select {
		case <-l.guardDue:
			l.keepGuard()
		case <-ctx.Done():
			return
		}
	}
}

// guardPause is between two looks at how far the log has got, while groups are written.
const guardPause = 200 * time.Millisecond
