package pipeline

import (
	"context"
	"io"
)

// Parcel is one unit of flow: a body, its size in bytes as charged and counted,
// and the receipt that its owner settles or passes on.
type Parcel[T any] struct {
	Body T
	Size int64
	*Receipt
}

// Emit hands a parcel downstream and blocks while the edge is full, until ctx
// ends or the graph is aborted. It always takes ownership: when it returns an
// error, the parcel has been nacked with it. A parcel without a receipt is a
// broken invariant and panics. It may be called concurrently.
type Emit[T any] func(context.Context, Parcel[T]) error

// Source produces until ctx ends, which is when the drain begins, and returns
// nil. Parcels it emits with that ctx are still delivered after its end.
type Source[T any] interface {
	Run(ctx context.Context, out Emit[T]) error
}

// Stage takes parcels and emits parcels. It owns its loop, so it may batch or
// select on timers, and returns nil once in is closed and empty and all it took
// is settled or emitted. ctx ends only when the graph is aborted. Run is called
// once per worker or lane, concurrently.
//
// A Source, Stage or Sink may also have the methods of [Starter] and [Tunable].
type Stage[I, O any] interface {
	Run(ctx context.Context, in *In[I], out Emit[O]) error
}

// Sink takes parcels and settles them; otherwise it is as a [Stage].
type Sink[T any] interface {
	Run(ctx context.Context, in *In[T]) error
}

// Starter is for nodes with something to do before parcels flow. Start is
// called once, before Run, downstream nodes first; an error fails the graph. A
// node whose Start succeeded always gets its Run called, which cleans up.
type Starter interface {
	Start(ctx context.Context) error
}

// Tunable is for nodes with knobs of their own that can be turned while they
// run: linger, batch bytes. Keys name their unit. Both methods are called
// concurrently with Run.
type Tunable interface {
	// Tune sets knobs, all of them or none; the error says what values are taken.
	Tune(values map[string]int64) error
	// Tunables returns every knob with its present value.
	Tunables() map[string]int64
}

// SourceFunc is a Source made of a function.
type SourceFunc[T any] func(context.Context, Emit[T]) error

// Run calls f.
func (f SourceFunc[T]) Run(ctx context.Context, out Emit[T]) error { return f(ctx, out) }

// StageFunc is a Stage made of a function.
type StageFunc[I, O any] func(context.Context, *In[I], Emit[O]) error

// Run calls f.
func (f StageFunc[I, O]) Run(ctx context.Context, in *In[I], out Emit[O]) error {
	return f(ctx, in, out)
}

// SinkFunc is a Sink made of a function.
type SinkFunc[T any] func(context.Context, *In[T]) error

// Run calls f.
func (f SinkFunc[T]) Run(ctx context.Context, in *In[T]) error { return f(ctx, in) }

// Each lifts a function into a Stage: its error nacks the parcel, its value is
// passed on with the size and the receipt of what it was made from.
func Each[I, O any](fn func(context.Context, I) (O, error)) Stage[I, O] {
	return StageFunc[I, O](func(ctx context.Context, in *In[I], out Emit[O]) error {
		for {
			p, err := in.Recv(ctx)
			if err != nil {
				return ended(err)
			}
			body, err := fn(ctx, p.Body)
			if err != nil {
				p.Settle(err)
				continue
			}
			if err := out(ctx, Parcel[O]{body, p.Size, p.Receipt}); err != nil {
				return err
			}
		}
	})
}

// ended turns the error of a Recv into that of a Run.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
