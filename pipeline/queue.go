package pipeline

import (
	"container/list"
	"context"
	"io"
)

// queue is an edge: a bounded ring between any number of emitters and readers.
//
// One mutex guards it. It is held for a few instructions and never while blocking
// or calling out. Waiters block on channels, which testing/synctest treats as
// durably blocked:
//
//   - ready holds a token when something is queued and a reader waits or selects on
//     it. A reader that takes less than everything passes the token on. Once the
//     edge is closed, so is ready.
//   - an emitter that finds no space, or others waiting for it, queues up. Space is
//     granted in that order and reserved for its recipient, so nobody is overtaken.
type queue[T any] struct {
	inflight // its mu guards everything below
	life     *life

	ring    []slot[T] // length is a power of two
	head, n int
	depth   int
	emits   int // nodes that may still emit here
	from    []Upstream
	closed  bool

	ready    chan struct{}
	readers  int       // number of waiting readers
	watched  bool      // somebody selects on ready
	emitters list.List // waiting: of chan struct{}, which gets a token when space is granted
	reserved int       // space granted to emitters that have not resumed yet

	in, out            uint64
	bytesIn, bytesHere int64
	blocked, idle      stopwatch
	waited             tally // from emitted to taken
}

type slot[T any] struct {
	p  Parcel[T]
	at int64 // when it was queued
}

const minRing = 16

func newQueue[T any](l *life, depth int) *queue[T] {
	q := &queue[T]{life: l, depth: depth, ring: make([]slot[T], minRing),
		ready: make(chan struct{}, 1)}
	q.clk = l.clk
	return q
}

// push queues p, or nacks it and returns why; by is the emitting node, or nil.
func (q *queue[T]) push(ctx context.Context, by *node, p Parcel[T]) error {
	if p.Receipt == nil {
		panic("pipeline: emitted a parcel without a receipt")
	}
	if err := q.life.cause(); err != nil {
		p.Settle(err)
		return err
	}
	now := q.clk.now()
	p.leave(instant{q.clk, now}, forwarded)
	q.mu.Lock()
	if q.hasSpace() && !q.closed { // nobody waits: they would have been given the space
		q.put(p, now)
		q.mu.Unlock()
		return nil
	}
	err := q.await(ctx, by, now)
	if err == nil {
		q.put(p, q.clk.now())
	}
	q.mu.Unlock()
	if err != nil {
		p.Settle(err)
	}
	return err
}

// await waits for space; it started at now. Holds q.mu, except while it waits.
func (q *queue[T]) await(ctx context.Context, by *node, now int64) error {
	if q.closed {
		return ErrClosed
	}
	wake := make(chan struct{}, 1)
	place := q.emitters.PushBack(wake)
	q.blocked.start(now)
	by.block(1)
	q.mu.Unlock()
	err := q.waitSpace(ctx, by, wake)
	q.mu.Lock()
	by.block(-1)
	q.blocked.stop(now, q.clk.now())
	if err == nil {
		q.reserved--
		if q.closed {
			return ErrClosed
		}
		return nil
	}
	select {
	case <-wake: // space was granted at the same moment: pass it on
		q.reserved--
	default:
		q.emitters.Remove(place)
	}
	q.grantSpace()
	return err
}

func (q *queue[T]) waitSpace(ctx context.Context, by *node, wake <-chan struct{}) error {
	hard := q.life.hard
	select {
	case <-wake:
		return nil
	case <-hard.Done():
		return context.Cause(hard)
	case <-ctx.Done():
	}
	// A draining source may still hand over the parcel it is emitting.
	soft := q.life.soft
	if by == nil || !by.source || soft.Err() == nil || context.Cause(ctx) != context.Cause(soft) {
		return context.Cause(ctx)
	}
	select {
	case <-wake:
		return nil
	case <-hard.Done():
		return context.Cause(hard)
	}
}

// put queues p. Holds q.mu.
func (q *queue[T]) put(p Parcel[T], now int64) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = slot[T]{p, now}
	q.n++
	q.in++
	q.bytesIn += p.Size
	q.bytesHere += p.Size
	q.passReady()
}

func (q *queue[T]) grow() {
	ring := make([]slot[T], 2*len(q.ring))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}

// get moves up to len(buf) parcels into buf; the readers now answer for them.
// Holds q.mu.
func (q *queue[T]) get(buf []Parcel[T]) int {
	k := min(len(buf), q.n)
	if k == 0 {
		return 0
	}
	now := q.clk.now()
	for i := range k {
		s := &q.ring[q.head]
		buf[i] = s.p
		q.waited.add(now - s.at)
		q.bytesHere -= s.p.Size
		q.take(s.p.Receipt, now)
		*s = slot[T]{}
		q.head = (q.head + 1) & (len(q.ring) - 1)
	}
	q.n -= k
	q.out += uint64(k)
	q.passReady()
	q.grantSpace()
	return k
}

// passReady makes ready's token match the state. Holds q.mu.
func (q *queue[T]) passReady() {
	switch {
	case q.closed:
	case q.n > 0:
		if q.readers > 0 || q.watched {
			signal(q.ready)
		}
	case q.watched: // a stale token would wake a reader for nothing
		select {
		case <-q.ready:
		default:
		}
	}
}

func (q *queue[T]) hasSpace() bool { return q.n+q.reserved < q.depth }

// grantSpace grants free space to waiting emitters. Holds q.mu.
func (q *queue[T]) grantSpace() {
	for e := q.emitters.Front(); e != nil && (q.hasSpace() || q.closed); e = q.emitters.Front() {
		q.emitters.Remove(e).(chan struct{}) <- struct{}{}
		q.reserved++
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (q *queue[T]) hold() *inflight { return &q.inflight }

// open registers one more node that emits here.
func (q *queue[T]) open(by *node, through []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.emits++
	if by != nil {
		q.from = append(q.from, Upstream{by.name, through})
	}
	return nil
}

// close is called once per emitting node, after it has returned; the last call
// closes the edge.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.emits--; q.emits > 0 || q.closed {
		return
	}
	q.closed = true
	close(q.ready)
	q.grantSpace()
}

// drained reports whether nothing is queued and nothing more will be.
func (q *queue[T]) drained() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.n == 0
}

// nackRest nacks everything queued and everything that still arrives, until the
// edge closes.
func (q *queue[T]) nackRest(cause error) {
	in := &In[T]{q: q, nacking: true}
	for {
		p, err := in.Recv(context.Background())
		if err == io.EOF {
			return
		}
		p.Settle(cause)
	}
}

func (q *queue[T]) setDepth(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.depth = n
	q.grantSpace()
}
