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

// Run is the stage. Its goroutine builds groups and submits them; the completer
// waits for each in order and passes it on; maintain and, with Interval, the flusher
// work in the background. Run it once, with one worker.
func (l *Log) Run(ctx context.Context, in *pipeline.In[*flow.Group], out pipeline.Emit[*flow.Group]) error {
	if !l.recovered {
		return ErrNotRecovered
	}
	defer close(l.ended)
	ctx, stop := context.WithCancelCause(ctx)
	var background sync.WaitGroup
	defer func() {
		stop(nil)
		background.Wait()
	}()
	background.Go(func() { l.maintain(ctx) })
	background.Go(func() { l.runGuard(ctx) })
	f := newFlusher(l)
	stopFlusher := f.start()
	defer stopFlusher()
	s := newCompleter(l, f, out)
	var completing sync.WaitGroup
	completing.Go(func() {
		if err := s.run(ctx); err != nil {
			stop(err) // so that the builder stops waiting
		}
	})
	b := builder{log: l, in: in, completer: s, throttle: newThrottle(l)}
	err := b.run(ctx)
	close(s.queue)
	completing.Wait()
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

// finish leaves a log that declares all of itself durable.
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
	throttle  *throttle
	idle      *time.Timer // created when first used
	broken    error       // why a group was not started; later ones are not either, or a hole would remain
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

// submit starts writing the group of t. On an error it was not started and never
// will be.
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
	if err := b.throttle.wait(ctx, g.Length); err != nil {
		return err
	}
	t.head = head{length: g.Length, count: g.Batches, body: g.Sum}
	segment, err := l.place(ctx, &t.head)
	if err != nil {
		return err
	}
	l.segments.addWriter(segment, g)
	t.head.encode(g.Image.Bytes())
	l.advanceEnd(&t.head)
	l.unsealed = true
	g.Image.Retain() // for the write, whatever happens to the group meanwhile
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

// sealIdle seals if everything is durable, otherwise it checks again later.
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

// seal writes a group without batches, whose head says that everything before it
// is durable. No other write is in flight. A failed write latches the log.
func (l *Log) seal() {
	l.unsealed = false
	h := head{length: headSize}
	l.identify(&h)
	image := l.block[:h.padded()]
	clear(image)
	h.encode(image)
	l.advanceEnd(&h)
	if err := l.active.file.WriteAt(image, l.active.offset(h.position), blockfs.Durable); err != nil {
		l.latch(err)
		return
	}
	advance(&l.completed, h.sequence)
	advance(&l.durable, h.sequence)
	l.updateGuard()
	l.metrics.groups.Inc()
	l.metrics.bytes.Add(float64(h.padded()))
}

// updateGuard records in the guard how far the log has got.
func (l *Log) updateGuard() {
	if err := l.guard.update(func(e *extent) { e.durable = max(e.durable, l.durable.Load()) }); err != nil {
		l.latch(err)
	}
}

// runGuard updates the guard while groups are written, until ctx ends.
func (l *Log) runGuard(ctx context.Context) {
	for {
		select {
		case <-l.guardDue:
			l.updateGuard()
		case <-ctx.Done():
			return
		}
	}
}

// guardInterval is the minimum interval between updates of the guard while groups
// are written.
const guardInterval = 200 * time.Millisecond
