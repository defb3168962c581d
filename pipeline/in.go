package pipeline

import (
	"context"
	"io"
	"iter"
)

// In is the receiving end of an edge, as seen by one worker or lane of a node.
// The receiver of a parcel owns it. Methods may be called concurrently.
//
// Every method that can fail returns io.EOF once the edge is closed and empty, or
// when this worker must retire because the node's number of workers was reduced:
// settle or emit what is in hand, then return nil. When ctx ends or the graph is
// aborted, the error is the cause of that.
type In[T any] struct {
	q       *queue[T]
	lane    int
	retired chan struct{} // nil: never
	nacking bool          // the engine's own reader, which outlives an abort
}

// Lane returns the index of this lane or worker.
func (in *In[T]) Lane() int { return in.lane }

// Recv waits for one parcel.
func (in *In[T]) Recv(ctx context.Context) (Parcel[T], error) {
	var one [1]Parcel[T]
	_, err := in.RecvBatch(ctx, one[:])
	return one[0], err
}

// TryRecv takes a parcel if one is queued. It does not distinguish an empty edge
// from a closed one; TryRecvBatch does.
func (in *In[T]) TryRecv() (Parcel[T], bool) {
	var one [1]Parcel[T]
	n, _ := in.TryRecvBatch(one[:])
	return one[0], n == 1
}

// RecvBatch waits until something is queued, then moves as much of it as fits
// into buf under one lock, and returns the count: at least 1 unless it fails. buf
// must not be empty.
func (in *In[T]) RecvBatch(ctx context.Context, buf []Parcel[T]) (int, error) {
	n, err := in.TryRecvBatch(buf)
	if n > 0 || err != nil {
		return n, err
	}
	return in.wait(ctx, buf)
}

// TryRecvBatch is RecvBatch without waiting: it returns 0 and nil when nothing is
// queued.
func (in *In[T]) TryRecvBatch(buf []Parcel[T]) (int, error) {
	if in.q.life.dead.Load() && !in.nacking {
		return 0, in.q.life.cause()
	}
	in.q.mu.Lock()
	defer in.q.mu.Unlock()
	return in.poll(buf)
}

// poll takes what is queued. Holds q.mu.
func (in *In[T]) poll(buf []Parcel[T]) (int, error) {
	if in.isRetired() {
		in.q.passReady() // pass on the token that woke this one
		return 0, io.EOF
	}
	n := in.q.get(buf)
	if n == 0 && in.q.closed {
		return 0, io.EOF
	}
	return n, nil
}

func (in *In[T]) wait(ctx context.Context, buf []Parcel[T]) (int, error) {
	q := in.q
	hard := q.life.hard.Done()
	if in.nacking {
		hard = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	start := q.clk.now()
	q.readers++
	q.idle.start(start)
	defer func() {
		q.readers--
		q.idle.stop(start, q.clk.now())
	}()
	for {
		n, err := in.poll(buf)
		if n > 0 || err != nil {
			return n, err
		}
		q.mu.Unlock()
		select {
		case <-q.ready:
		case <-in.retired:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-hard:
			err = context.Cause(q.life.hard)
		}
		q.mu.Lock()
		if err != nil {
			return 0, err
		}
	}
}

// Ready returns a channel to select on, along with timers and the like; it is
// readable when something is queued or the edge has closed. Get it anew for each
// select, and when it fires call [In.TryRecvBatch], or TryRecv and Recv. With
// several workers another one may have been faster.
func (in *In[T]) Ready() <-chan struct{} {
	q := in.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if in.isRetired() {
		return in.retired
	}
	q.watched = true
	q.passReady()
	return q.ready
}

// Closed reports whether nothing more will be queued. Something may be left, but
// there is no point in waiting for more.
func (in *In[T]) Closed() bool {
	in.q.mu.Lock()
	defer in.q.mu.Unlock()
	return in.q.closed || in.isRetired()
}

func (in *In[T]) isRetired() bool {
	select {
	case <-in.retired:
		return true
	default:
		return false
	}
}

// All ranges over the parcels until the edge is closed and empty, or ctx ends.
func (in *In[T]) All(ctx context.Context) iter.Seq[Parcel[T]] {
	return func(yield func(Parcel[T]) bool) {
		for {
			p, err := in.Recv(ctx)
			if err != nil || !yield(p) {
				return
			}
		}
	}
}

// Pipe returns the two ends of an edge outside any graph, for tests of a single
// stage and for feeding one by hand. Emits after close fail with [ErrClosed].
func Pipe[T any](depth int) (in *In[T], out Emit[T], close func()) {
	l := &life{clk: newClock(), soft: context.Background(), hard: context.Background()}
	q := newQueue[T](l, max(depth, 1))
	q.emits = 1
	out = func(ctx context.Context, p Parcel[T]) error { return q.push(ctx, nil, p) }
	return &In[T]{q: q}, out, q.close
}
