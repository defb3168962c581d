package partition

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
)

// Watcher is notified when what it watches has moved, on the goroutine that moved
// it. Moved must not block.
type Watcher interface{ Moved() }

// Watch is what a Watcher waits for in one partition: a number of further bytes,
// or a change of anything else. It fires once, and must be armed again. The zero
// value is not armed. Its owner calls Arm and Disarm from one goroutine at a
// time.
type Watch struct {
	watcher Watcher
	at      int64 // of watches.bytes
	index   int   // in watches.heap
	armed   atomic.Bool
}

// Armed reports whether the watch will fire.
func (w *Watch) Armed() bool { return w.armed.Load() }

// Mark is a point in the history of a partition. What is read after taking it is
// at least as new.
type Mark struct {
	bytes   int64
	changes uint32
}

// watches are the watches of one partition, the one due first at the top: an
// append too small for all of them costs one comparison, however many there are.
type watches struct {
	bytes   atomic.Int64  // visible so far
	changes atomic.Uint32 // of anything else

	mu     sync.Mutex
	behind bool // some of bytes were not visible at the last grow
	heap   watchHeap
}

// Mark returns the current point.
func (s *State) Mark() Mark {
	return Mark{s.watches.bytes.Load(), s.watches.changes.Load()}
}

// Arm notifies by, once, when n bytes have become visible since m was taken, or
// something else has changed. If that has already happened it returns true
// instead. A watch that is already armed keeps the earlier target.
func (s *State) Arm(w *Watch, by Watcher, m Mark, n int64) (already bool) {
	at := m.bytes + n
	if w.Armed() && w.at <= at {
		return false // any change in the meantime has fired it, or will
	}
	x := &s.watches
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bytes.Load() >= at || x.changes.Load() != m.changes {
		return true
	}
	w.watcher, w.at = by, at
	if w.armed.Load() {
		heap.Fix(&x.heap, w.index)
		return false
	}
	w.armed.Store(true)
	heap.Push(&x.heap, w)
	return false
}

// Disarm keeps w from firing. A notification in progress may still arrive.
func (s *State) Disarm(w *Watch) {
	if !w.Armed() {
		return
	}
	x := &s.watches
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.armed.Load() {
		heap.Remove(&x.heap, w.index)
		w.armed.Store(false)
	}
}

// grow fires the watches whose bytes have become visible: bytes is the total ever
// appended, and all says that all of it is visible. Otherwise, or if nothing was
// appended, it is unknown how much became visible, and all watches fire.
func (x *watches) grow(bytes int64, all bool) {
	x.mu.Lock()
	known := all && !x.behind && bytes > x.bytes.Load()
	x.behind = !all
	x.bytes.Store(max(bytes, x.bytes.Load()))
	var due []Watcher
	for len(x.heap) > 0 && (!known || x.heap[0].at <= bytes) {
		due = append(due, x.pop())
	}
	if !known {
		x.changes.Add(1)
	}
	x.mu.Unlock()
	tell(due)
}

// change fires all watches.
func (x *watches) change() {
	x.mu.Lock()
	x.changes.Add(1)
	due := make([]Watcher, 0, len(x.heap))
	for len(x.heap) > 0 {
		due = append(due, x.pop())
	}
	x.mu.Unlock()
	tell(due)
}

func (x *watches) pop() Watcher {
	w := heap.Pop(&x.heap).(*Watch)
	by := w.watcher
	w.armed.Store(false)
	return by
}

// tell notifies the watchers, outside the lock.
func tell(due []Watcher) {
	for _, w := range due {
		w.Moved()
	}
}

// watchHeap implements heap.Interface.
type watchHeap []*Watch

func (h watchHeap) Len() int           { return len(h) }
func (h watchHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h watchHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *watchHeap) Push(w any) {
	w.(*Watch).index = len(*h)
	*h = append(*h, w.(*Watch))
}

// Pop implements heap.Interface.
func (h *watchHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if cap(*h) > 64 && last < cap(*h)/4 {
		*h = slices.Clone(*h)
	}
	return w
}
