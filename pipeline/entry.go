package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
)

// Entry is a [Source] fed by calls: the door through which listeners hand work
// to a graph. Submit pushes onto the edge on the goroutine of its caller. An
// Entry belongs to one graph.
type Entry[T any] struct {
	out     Emit[T] // set before started is closed
	started chan struct{}
	calls   atomic.Int64  // in flight, plus draining once that began
	idle    chan struct{} // closed when draining and none is in flight
	once    sync.Once     // closes idle
}

const draining = 1 << 62

// NewEntry returns an Entry to be wired with [From].
func NewEntry[T any]() *Entry[T] {
	return &Entry[T]{started: make(chan struct{}), idle: make(chan struct{})}
}

// Submit hands p to the graph, waiting for it to start, and for room while the
// first edge is full. Like an [Emit] it always takes ownership: when it returns
// an error, p has been nacked with it. It is [ErrDraining] once the drain has
// begun, or the cause of ctx. Safe for concurrent use.
func (e *Entry[T]) Submit(ctx context.Context, p Parcel[T]) error {
	select {
	case <-e.started:
	default:
		if err := e.awaitStart(ctx); err != nil {
			p.Settle(err)
			return err
		}
	}
	defer e.leave()
	if e.calls.Add(1) >= draining {
		p.Settle(ErrDraining)
		return ErrDraining
	}
	return e.out(ctx, p)
}

func (e *Entry[T]) awaitStart(ctx context.Context) error {
	select {
	case <-e.started:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Entry[T]) leave() {
	if e.calls.Add(-1) == draining {
		e.signalIdle()
	}
}

// signalIdle closes idle once: late calls take the count up and down again.
func (e *Entry[T]) signalIdle() { e.once.Do(func() { close(e.idle) }) }

// Run lets calls in until ctx ends, then waits for those under way.
func (e *Entry[T]) Run(ctx context.Context, out Emit[T]) error {
	e.out = out
	close(e.started)
	<-ctx.Done()
	if e.calls.Add(draining) == draining {
		e.signalIdle()
	}
	<-e.idle
	return nil
}
