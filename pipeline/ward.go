package pipeline

import (
	"sync"
	"sync/atomic"
)

// outcome is how a parcel left a stage.
type outcome uint8

const (
	forwarded outcome = iota // emitted, the verdict is up to others
	acked
	nacked
	outcomes
)

// ward knows the receipts that the readers of one edge hold in their hands, so
// that none is lost when a stage returns, fails or panics, and it counts how
// they leave.
//
// A receipt leaves without telling the list: it only forgets its ward. The list
// is swept when it has doubled, so keeping it costs a constant per receipt.
type ward struct {
	clk *clock

	mu    sync.Mutex // also the lock of the edge the ward is part of
	held  []*Receipt // every receipt in hand, and some that have left
	sweep int        // length at which to drop those

	left    [outcomes]atomic.Uint64
	service atomicTally // from taken to left
}

const minSweep = 64

// take notes that a reader holds r since now. Holds w.mu.
func (w *ward) take(r *Receipt, now int64) {
	r.since = now
	r.ward.Store(w)
	if len(w.held) >= w.sweep {
		w.compact()
		w.sweep = max(minSweep, 2*len(w.held))
	}
	w.held = append(w.held, r)
}

// compact drops the receipts that have left. Holds w.mu.
func (w *ward) compact() {
	kept := w.held[:0]
	for _, r := range w.held {
		if r.ward.Load() == w {
			kept = append(kept, r)
		}
	}
	clear(w.held[len(kept):])
	w.held = kept
}

// record counts a receipt that leaves at t, taken at since.
func (w *ward) record(t instant, since int64, o outcome) {
	w.left[o].Add(1)
	w.service.add(t.on(w.clk) - since)
}

// inHand returns how many receipts the readers hold.
func (w *ward) inHand() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compact()
	return len(w.held)
}

// abandonAll nacks what is still held, once its readers have returned, and
// returns how many that were.
func (w *ward) abandonAll(cause error) int {
	w.mu.Lock()
	held := w.held
	w.held = nil
	w.mu.Unlock()
	n := 0
	for _, r := range held {
		if r.ward.Load() == w && r.abandon(cause) {
			n++
		}
	}
	return n
}
