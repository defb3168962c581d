package wal

import (
	"context"
	"sync"
	"time"
)

// flusher makes durable what was only written, with Interval. It sleeps while
// there is nothing.
type flusher struct {
	log  *Log
	wake chan struct{} // capacity 1
	turn chan struct{} // capacity 1; taken over a flush, so that none counts what another still syncs
}

func newFlusher(l *Log) *flusher {
	return &flusher{log: l, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// start begins to flush in the background; stop ends that and may be called more
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

// flush syncs the segments that were written. A sync that fails latches the log:
// what it was to write may be lost, though a second one would succeed.
func (f *flusher) flush() {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	l := f.log
	if l.Err() != nil {
		return
	}
	began, upTo := time.Now(), l.completed.Load()
	for _, g := range l.segments.unsynced() {
		l.segments.syncing(g)
		err := g.file.Sync()
		if err != nil {
			l.latch(err)
		}
		l.segments.settled(g, false)
		if err != nil {
			return
		}
	}
	advance(&l.durable, upTo)
	l.metrics.flush.Observe(time.Since(began).Seconds())
}
