package pipeline

import (
	"sync"
	"sync/atomic"
)

// outcome is how a parcel left a stage.
type outcome uint8

const (
	forwarded outcome = iota // emitted; the verdict is up to others
	acked
	nacked
	outcomes
)

// inflight tracks the receipts that the readers of one edge hold, so that none is
// lost when a stage returns, fails or panics, and counts how they leave.
//
// A receipt leaves without touching the list: it only clears its pointer to the
// list. The list is compacted each time it has doubled, so tracking costs
// amortized constant time per receipt.
type inflight struct {
	clk *clock

	mu        sync.Mutex // also the lock of the edge this is part of
	held      []*Receipt // every receipt in hand, and some that have left
	compactAt int        // length at which to drop the latter

	left    [outcomes]atomic.Uint64
	service atomicTally // from taken to left
}

const minCompact = 64

// take records that a reader holds r as of now. Holds w.mu.
func (w *inflight) take(r *Receipt, now int64) {
	r.since = now
	r.inflight.Store(w)
	if len(w.held) >= w.compactAt {
		w.compact()
		w.compactAt = max(minCompact, 2*len(w.held))
	}
	w.held = append(w.held, r)
}

// compact drops the receipts that have left. Holds w.mu.
func (w *inflight) compact() {
	kept := w.held[:0]
	for _, r := range w.held {
		if r.inflight.Load() == w {
			kept = append(kept, r)
		}
	}
	clear(w.held[len(kept):])
	w.held = kept
}

// record counts a receipt that was taken at since and leaves at t.
func (w *inflight) record(t instant, since int64, o outcome) {
	w.left[o].Add(1)
	w.service.add(t.on(w.clk) - since)
}

// inHand returns the number of receipts that readers hold.
func (w *inflight) inHand() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compact()
	return len(w.held)
}

// abandonAll nacks what is still held after the readers have returned, and
// returns how many receipts that was.
func (w *inflight) abandonAll(cause error) int {
	w.mu.Lock()
	held := w.held
	w.held = nil
	w.mu.Unlock()
	n := 0
	for _, r := range held {
		if r.inflight.Load() == w && r.abandon(cause) {
			n++
		}
	}
	return n
}
