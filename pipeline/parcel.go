package pipeline

import (
	"context"
	"io"
)

// Parcel is one unit of flow: a body, its size in bytes for budgets and metrics,
// and the receipt that its owner settles or passes on.
type Parcel[T any] struct {
	Body T
	Size int64
	*Receipt
}

// Emit hands a parcel downstream and blocks while the edge is full, until ctx
// ends or the graph is aborted. It always takes ownership: when it returns an
// error, the parcel has been nacked with it. Emitting a parcel without a receipt
// breaks an invariant and panics. It may be called concurrently.
type Emit[T any] func(context.Context, Parcel[T]) error

// Source produces until ctx ends, which is when the drain begins, and returns
// nil. Parcels it emits with that ctx are still delivered after ctx has ended.
type Source[T any] interface {
	Run(ctx context.Context, out Emit[T]) error
}

// A Source, Stage or Sink may also implement [Starter] and [Tunable].
type Stage[I, O any] interface {
	Run(ctx context.Context, in *In[I], out Emit[O]) error
}

// Sink takes parcels and settles them; otherwise it is like a [Stage].
type Sink[T any] interface {
	Run(ctx context.Context, in *In[T]) error
}

// Starter is for nodes with work to do before parcels flow. Start is called once,
// before Run, downstream nodes first; an error fails the graph. A node whose
// Start succeeded always gets its Run called, so that it can clean up.
type Starter interface {
	Start(ctx context.Context) error
}

// Tunable is for nodes with settings of their own that can change while they run,
// such as linger or batch bytes. Keys include the unit. Both methods are called
// concurrently with Run.
type Tunable interface {
	// Tune sets tunables, all of them or none; the error says which values are
	// allowed.
	Tune(values map[string]int64) error
	// Tunables returns every tunable with its current value.
	Tunables() map[string]int64
}

// SourceFunc is a function used as a Source.
type SourceFunc[T any] func(context.Context, Emit[T]) error

// Run calls f.
func (f SourceFunc[T]) Run(ctx context.Context, out Emit[T]) error { return f(ctx, out) }

// StageFunc is a function used as a Stage.
type StageFunc[I, O any] func(context.Context, *In[I], Emit[O]) error

// Run calls f.
func (f StageFunc[I, O]) Run(ctx context.Context, in *In[I], out Emit[O]) error {
	return f(ctx, in, out)
}

// SinkFunc is a function used as a Sink.
type SinkFunc[T any] func(context.Context, *In[T]) error

// Run calls f.
func (f SinkFunc[T]) Run(ctx context.Context, in *In[T]) error { return f(ctx, in) }

// Each turns a function into a Stage: an error nacks the parcel, a value is
// passed on with the size and receipt of its input.
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

// ended converts an error of Recv into the result of Run.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
