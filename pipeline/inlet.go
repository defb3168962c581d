package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
)

// Inlet is a [Source] fed by calls: listeners use it to hand work to a graph.
// Submit pushes onto the edge on its caller's goroutine. An Inlet belongs to one
// graph.
type Inlet[T any] struct {
	out     Emit[T] // set before started is closed
	started chan struct{}
	calls   atomic.Int64  // in progress, plus draining once that began
	idle    chan struct{} // closed when draining and no call is in progress
	once    sync.Once     // closes idle
}

const draining = 1 << 62

// NewInlet returns an Inlet to wire with [From].
func NewInlet[T any]() *Inlet[T] {
	return &Inlet[T]{started: make(chan struct{}), idle: make(chan struct{})}
}

// Submit hands p to the graph. It waits for the graph to start, and for space
// while the first edge is full. Like an [Emit] it always takes ownership: when it
// returns an error, p has been nacked with it. The error is [ErrDraining] once
// the drain has begun, or the cause of ctx. Safe for concurrent use.
func (e *Inlet[T]) Submit(ctx context.Context, p Parcel[T]) error {
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

func (e *Inlet[T]) awaitStart(ctx context.Context) error {
	select {
	case <-e.started:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Inlet[T]) leave() {
	if e.calls.Add(-1) == draining {
		e.signalIdle()
	}
}

// signalIdle closes idle once: late calls move the count up and down again.
func (e *Inlet[T]) signalIdle() { e.once.Do(func() { close(e.idle) }) }

// Run admits calls until ctx ends, then waits for those in progress.
func (e *Inlet[T]) Run(ctx context.Context, out Emit[T]) error {
	e.out = out
	close(e.started)
	<-ctx.Done()
	if e.calls.Add(draining) == draining {
		e.signalIdle()
	}
	<-e.idle
	return nil
}
