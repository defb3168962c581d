package wal

import (
	"context"
	"sync"
	"time"
)

// flusher syncs what was only written, with durability Interval. It sleeps while
// there is nothing to sync.
type flusher struct {
	log  *Log
	wake chan struct{} // capacity 1
	lock chan struct{} // capacity 1; held during a flush, so that none counts what another is still syncing
}

func newFlusher(l *Log) *flusher {
	return &flusher{log: l, wake: make(chan struct{}, 1), lock: make(chan struct{}, 1)}
}

// start begins flushing in the background. stop ends it and may be called more
// than once.
func (f *flusher) start() (stop func()) {
	if f.log.cfg.FsyncOnWrite {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { f.run(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}

// run flushes FlushInterval after the first write, until ctx ends.
func (f *flusher) run(ctx context.Context) {
	timer := time.NewTimer(f.log.cfg.FlushInterval)
	defer timer.Stop()
	timer.Stop()
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		timer.Reset(f.log.cfg.FlushInterval)
		select {
		case <-timer.C:
			f.flush()
		case <-ctx.Done():
			return
		}
	}
}

// flush syncs the segments with unsynced writes. A sync that fails latches the
// log: the data may be lost even if a second sync succeeded.
func (f *flusher) flush() {
	f.lock <- struct{}{}
	defer func() { <-f.lock }()
	l := f.log
	if l.Err() != nil {
		return
	}
	began, upTo := time.Now(), l.completed.Load()
	for _, g := range l.segments.unsynced() {
		l.segments.startSync(g)
		err := g.file.Sync()
		if err != nil {
			l.latch(err)
		}
		l.segments.removeWriter(g, false)
		if err != nil {
			return
		}
	}
	advance(&l.durable, upTo)
	l.metrics.flush.Observe(time.Since(began).Seconds())
}
