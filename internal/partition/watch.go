package partition

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
)

// Watcher is told that what it watches has moved, on the goroutine of whoever moved
// it. Moved must not wait.
type Watcher interface{ Moved() }

// Watch is what a Watcher waits for in one partition: so many bytes more, or a change
// of anything else. It wakes once, and is armed anew for the next time. The zero value
// is not armed. Its owner calls Arm and Disarm from one goroutine at a time.
type Watch struct {
	watcher Watcher
	at      int64 // of watches.bytes
	index   int   // in watches.heap
	armed   atomic.Bool
}

// Armed reports whether the watch is to wake somebody.
func (w *Watch) Armed() bool { return w.armed.Load() }

// Mark is a moment in the life of a partition. What is read after it was taken is at
// least as new.
type Mark struct {
	bytes   int64
	changes uint32
}

// watches are those of one partition, the one that is due first at the top: an append
// that is too little for all costs a look at that one, however many there are.
type watches struct {
	bytes   atomic.Int64  // became visible so far
	changes atomic.Uint32 // of anything else

	mu     sync.Mutex
	behind bool // some of bytes were not visible at the last grow
	heap   watchHeap
}

// Mark returns where the partition is now.
func (s *State) Mark() Mark {
	return Mark{s.watches.bytes.Load(), s.watches.changes.Load()}
}

// Arm has by told, once, when n bytes have become visible after m was taken, or
// something else has changed. If that is so already it returns true instead. A watch
// that is armed keeps the earlier of both.
func (s *State) Arm(w *Watch, by Watcher, m Mark, n int64) (already bool) {
	at := m.bytes + n
	if w.Armed() && w.at <= at {
		return false // what has changed meanwhile has woken it, or will
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

// Disarm has w wake nobody any more. One that is under way may still come.
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

// grow wakes those for whom enough has become visible: the bytes ever appended, if all
// of them are. Where that is not so, or nothing was appended, it is not known how much
// became visible, and all are woken.
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

// change wakes all.
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

// tell wakes each that it was given, outside of the lock.
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
