package pipeline

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Receipt is the promise made to whoever submitted the work. It settles exactly
// once: with nil when the work is as durable as promised, otherwise with an
// error.
//
// A Receipt has one owner at a time, the owner of its parcel; Settle may be
// called from any goroutine that the owner hands it to.
type Receipt struct {
	state  atomic.Uint32
	passed atomic.Bool // from has been told that r left the stage that derived it
	done   func(error)
	from   lineage // what r was derived from by Split or Join

	inflight atomic.Pointer[inflight] // of the stage that holds r
	since    int64                    // when that stage took it, on the inflight's clock
}

// States of a Receipt. An abandoned one was settled by the engine for a stage
// that returned without settling it; a late verdict of that stage is ignored.
const (
	open uint32 = iota
	settled
	abandoned
)

// lineage links a derived receipt to those it stands for.
type lineage interface {
	left(t instant, o outcome) // the receipt left the stage that derived it
	settled(err error)
}

// NewReceipt returns a Receipt that calls done once with the verdict, on the
// goroutine that settles it. done must not block; it may be nil.
func NewReceipt(done func(error)) *Receipt { return &Receipt{done: done} }

// Settle resolves the receipt: nil means the work is as durable as promised. The
// first verdict stands. A second Settle breaks an invariant and panics; inside a
// stage the panic fails the graph.
func (r *Receipt) Settle(err error) {
	if !r.settle(err) {
		panic("pipeline: receipt settled twice")
	}
}

// settle reports whether this was r's first verdict.
func (r *Receipt) settle(err error) bool {
	if !r.state.CompareAndSwap(open, settled) {
		return r.state.CompareAndSwap(abandoned, settled)
	}
	r.finish(err)
	return true
}

// abandon settles r for a stage that returned without doing so, and reports
// whether that was necessary.
func (r *Receipt) abandon(err error) bool {
	if !r.state.CompareAndSwap(open, abandoned) {
		return false
	}
	r.finish(err)
	return true
}

func (r *Receipt) finish(err error) {
	o := acked
	if err != nil {
		o = nacked
	}
	r.leave(instant{}, o)
	if r.from != nil {
		r.from.settled(err)
	}
	if done := r.done; done != nil {
		r.done = nil
		done(err)
	}
}

// leave records that r, and with it what it stands for, has left the stage that
// holds it. The owner of r calls it, and whoever settles it.
func (r *Receipt) leave(t instant, o outcome) {
	if w := r.inflight.Load(); w != nil {
		if r.inflight.CompareAndSwap(w, nil) {
			w.record(t, r.since, o)
		}
		return
	}
	if r.from != nil && r.passed.CompareAndSwap(false, true) {
		r.from.left(t, o)
	}
}

// Split exchanges r for n receipts, n at least 1; r settles when all n have, with
// nil if all did, otherwise with their errors joined. Each branch has its own, so
// one branch cannot settle for another.
func (r *Receipt) Split(n int) []*Receipt {
	if n < 1 {
		panic("pipeline: split into no receipts")
	}
	f := &family{parent: r, open: n}
	f.inHand.Store(int32(n))
	out := make([]*Receipt, n)
	for i := range out {
		out[i] = &Receipt{from: f}
	}
	return out
}

// Join returns one receipt that settles all of rs, as for batching or group
// commit. The caller gives up rs.
func Join(rs ...*Receipt) *Receipt { return JoinFunc(nil, rs...) }

// JoinFunc is [Join], but also calls done, as [NewReceipt] does, after rs have
// settled.
func JoinFunc(done func(error), rs ...*Receipt) *Receipt {
	return &Receipt{done: done, from: union(slices.Clone(rs))}
}

// union is the lineage of a joined receipt.
type union []*Receipt

func (u union) left(t instant, o outcome) {
	for _, r := range u {
		r.leave(t, o)
	}
}

func (u union) settled(err error) {
	twice := false
	for _, r := range u { // all of them, even if one was settled before
		twice = !r.settle(err) || twice
	}
	if twice {
		panic("pipeline: joined receipt settled twice")
	}
}

// Detach returns a receipt for what goes on in place of rs, which leave the stage
// with it but are settled by the caller: with the verdict that done is called
// with, or some time before or after, as what they stand for requires.
func Detach(done func(error), rs ...*Receipt) *Receipt {
	return &Receipt{done: done, from: detached(rs)}
}

// detached is the lineage of a receipt that does not settle those it stands for.
type detached []*Receipt

func (d detached) left(t instant, o outcome) { union(d).left(t, o) }

func (d detached) settled(error) {}

// family is the lineage of split receipts.
type family struct {
	parent *Receipt
	inHand atomic.Int32 // still with the stage that split the parent

	mu     sync.Mutex
	open   int
	errs   []error
	failed chan struct{} // created by the first watcher; closed by the first nack
}

func (f *family) left(t instant, o outcome) {
	if f.inHand.Add(-1) == 0 {
		f.parent.leave(t, o)
	}
}

func (f *family) settled(err error) {
	f.mu.Lock()
	f.open--
	if err != nil {
		if len(f.errs) == 0 && f.failed != nil {
			close(f.failed)
		}
		if !slices.ContainsFunc(f.errs, func(e error) bool { return errors.Is(e, err) }) {
			f.errs = append(f.errs, err)
		}
	}
	last := f.open == 0
	f.mu.Unlock()
	if !last {
		return
	}
	switch len(f.errs) { // nobody else can touch f now
	case 0:
		f.parent.Settle(nil)
	case 1:
		f.parent.Settle(f.errs[0])
	default:
		f.parent.Settle(errors.Join(f.errs...))
	}
}

// siblingFailed returns a channel that is closed once a receipt split from the
// same parent is nacked. It returns nil, which is never ready, when r was not
// split.
func (r *Receipt) siblingFailed() <-chan struct{} {
	f, ok := r.from.(*family)
	if !ok {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = make(chan struct{})
		if len(f.errs) > 0 {
			close(f.failed)
		}
	}
	return f.failed
}
