package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// clock reads monotonic nanoseconds since its creation. There is one per graph,
// so that a graph created in a synctest bubble uses the bubble's time.
type clock struct{ epoch time.Time }

func newClock() *clock { return &clock{time.Now()} }

func (c *clock) now() int64 { return int64(time.Since(c.epoch)) }

// instant is a reading of one clock; the zero instant means "now".
type instant struct {
	clk *clock
	ns  int64
}

// on returns t on clk, reading clk unless t was read from it.
func (t instant) on(clk *clock) int64 {
	if t.clk == clk {
		return t.ns
	}
	return clk.now()
}

// life is shared by all edges and nodes of a graph: its clock and the two phases
// of its shutdown. soft ends when the drain begins, hard when the graph is
// aborted; both are set before the first node starts.
type life struct {
	clk        *clock
	soft, hard context.Context
	kill       context.CancelCauseFunc
	dead       atomic.Bool // hard has ended; cheaper to check
}

// cause returns why the graph was aborted, or nil.
func (l *life) cause() error {
	if !l.dead.Load() {
		return nil
	}
	return context.Cause(l.hard)
}

// abort aborts the graph; the first cause wins.
func (l *life) abort(cause error) {
	l.kill(cause)
	l.dead.Store(true)
}

// stopwatch sums the time that any number of waiters have spent waiting,
// including those still waiting. Guarded by its owner's lock.
type stopwatch struct {
	total   int64
	waiting int64
	starts  int64 // sum of the start times of those waiting
}

func (w *stopwatch) start(now int64) {
	w.waiting++
	w.starts += now
}

func (w *stopwatch) stop(start, now int64) {
	w.waiting--
	w.starts -= start
	w.total += now - start
}

func (w *stopwatch) elapsed(now int64) time.Duration {
	return time.Duration(w.total + w.waiting*now - w.starts)
}
