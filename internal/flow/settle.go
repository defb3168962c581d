package flow

import "sync/atomic"

// Promise is told once that the work it stands for is done or has failed. A
// receipt of a pipeline is one.
type Promise interface{ Settle(err error) }

// promised is the promise of a Write, kept once all of its appends are settled.
type promised struct {
	promise Promise
	left    atomic.Int32 // appends that are not settled
	over    atomic.Bool
}

// Promise makes w settle p: with nil once n of its appends are settled, or with
// the error of Fail. If n is 0, it waits for Flush.
func (w *Write) Promise(p Promise, n int) {
	w.promised.promise = p
	w.promised.left.Store(int32(n))
}

// Settled reports that one of the n appends is settled.
func (w *Write) Settled() {
	if w.promised.left.Add(-1) == 0 {
		w.settle(nil)
	}
}

// Flush settles w if no append is left.
func (w *Write) Flush() {
	if w.promised.left.Load() == 0 {
		w.settle(nil)
	}
}

// Fail settles w with err, unless it is settled.
func (w *Write) Fail(err error) { w.settle(err) }

func (w *Write) settle(err error) {
	if w.promised.over.CompareAndSwap(false, true) {
		w.promised.promise.Settle(err)
	}
}
