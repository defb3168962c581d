package wal

import (
	"context"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// ticket is one group on its way from the builder to the completer.
type ticket struct {
	parcel  pipeline.Parcel[*flow.Group]
	head    head
	segment *segment
	image   *blockfs.Buffer // held for the write; nil: no image, or the write was not started
	began   time.Time

	result  chan error  // capacity 1
	written func(error) // callback of the writer; created once
}

// finish reports the outcome of the group's write.
func (t *ticket) finish(err error) { t.result <- err }

// completer passes groups on in order, each once its write and all earlier writes
// have succeeded. After a failure every later group is nacked, whatever the
// outcome of its own write.
//
// There are twice as many tickets as writes in flight: some groups are prepared
// while others are written, and some are written and wait for an earlier one.
type completer struct {
	log     *Log
	flusher *flusher
	out     pipeline.Emit[*flow.Group]
	queue   chan *ticket // in order
	free    chan *ticket
	broken  error     // what everything is nacked with from now on
	guarded time.Time // when the guard was last notified
}

func newCompleter(l *Log, f *flusher, out pipeline.Emit[*flow.Group]) *completer {
	n := 2 * l.cfg.Inflight
	s := &completer{log: l, flusher: f, out: out, queue: make(chan *ticket, n), free: make(chan *ticket, n)}
	for range n {
		t := &ticket{result: make(chan error, 1)}
		t.written = func(err error) {
			l.metrics.write.Observe(time.Since(t.began).Seconds())
			if err != nil {
				l.latch(err)
			}
			t.finish(err)
		}
		s.free <- t
	}
	return s
}

// run completes groups until queue is closed. The error is that of the first
// parcel that could not be passed on; after it run keeps nacking.
func (s *completer) run(ctx context.Context) error {
	var stopped error
	for t := range s.queue {
		err := <-t.result
		switch {
		case s.broken != nil:
		case err != nil:
			s.broken = s.log.reason(err)
		case !s.log.cfg.FsyncOnWrite:
			s.broken = s.log.Err() // of a flush: what it lost is not known
		}
		if s.broken != nil {
			s.nack(t)
		} else if err := s.pass(ctx, t); err != nil {
			stopped, s.broken = err, err
		}
		if t.image != nil {
			t.image.Release()
		}
		t.parcel, t.head, t.segment, t.image = pipeline.Parcel[*flow.Group]{}, head{}, nil, nil
		s.free <- t
	}
	return stopped
}

// reason returns what groups are nacked with after err: the reason why the log
// failed, if it did.
func (l *Log) reason(err error) error {
	if failed := l.Err(); failed != nil {
		return failed
	}
	return err
}

func (s *completer) nack(t *ticket) {
	if t.image != nil {
		s.log.segments.removeWriter(t.segment, false)
	}
	t.parcel.Settle(s.broken)
}

// pass hands on a group that is durable, or has nothing to write.
func (s *completer) pass(ctx context.Context, t *ticket) error {
	p := t.parcel
	p.Body.Position = t.head.position
	if t.image == nil {
		return s.out(ctx, p)
	}
	l := s.log
	l.segments.removeWriter(t.segment, !l.cfg.FsyncOnWrite) // before it counts as completed
	if !l.cfg.FsyncOnWrite {
		signal(s.flusher.wake)
	} else {
		advance(&l.durable, t.head.sequence)
	}
	advance(&l.completed, t.head.sequence)
	if t.began.Sub(s.guarded) > guardInterval {
		s.guarded = t.began
		signal(l.guardDue)
	}
	l.metrics.groups.Inc()
	l.metrics.bytes.Add(float64(t.head.padded()))
	l.metrics.payload.Add(float64(t.head.length - t.head.end()))
	return s.out(ctx, p)
}
