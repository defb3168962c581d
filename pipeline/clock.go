package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// clock reads monotonic nanoseconds since its making. One per graph, so that
// numbers stay small and a graph made in a synctest bubble uses its time.
type clock struct{ epoch time.Time }

func newClock() *clock { return &clock{time.Now()} }

func (c *clock) now() int64 { return int64(time.Since(c.epoch)) }

// instant is a reading of one clock; the zero instant stands for "now".
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

// life is what the edges and nodes of one graph share: its clock and the two
// phases of its end. soft ends when the drain begins, hard when the graph is
// aborted; both are set before the first node starts.
type life struct {
	clk        *clock
	soft, hard context.Context
	kill       context.CancelCauseFunc
	dead       atomic.Bool // hard has ended; cheaper to ask
}

// cause is why the graph was aborted, or nil.
func (l *life) cause() error {
	if !l.dead.Load() {
		return nil
	}
	return context.Cause(l.hard)
}

// abort ends the graph; the first cause stands.
func (l *life) abort(cause error) {
	l.kill(cause)
	l.dead.Store(true)
}

// stopwatch sums the time that any number of waiters spend waiting, including
// those that still do. Its owner locks.
type stopwatch struct {
	total   int64
	waiting int64
	starts  int64 // sum of the instants at which those waiting began
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
