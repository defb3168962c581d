package blockfs

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrTooLarge: a buffer larger than its pool was requested.
var ErrTooLarge = errors.New("buffer is larger than the pool")

// Pool lends aligned buffers and bounds their memory. It is safe for concurrent
// use. Waiters are served in order, so that large requests are not starved by
// small ones.
//
// Memory comes in size classes, four per power of two, so that at most a fifth of
// a buffer is unused. Returned buffers are kept for reuse up to a part of the
// limit and released to the system beyond it.
type Pool struct {
	limit, keep int64

	mu      sync.Mutex
	used    int64 // lent and idle
	idle    int64 // in free
	free    map[int][]*Buffer
	memory  arena
	waiting list.List // of *claim
	short   func(bytes int64)
}

// claim is a waiting Get.
type claim struct {
	size  int
	ready chan *Buffer // capacity 1
}

// idleShare: one over this is the part of the limit that may be idle in the pool.
const idleShare = 4

// NewPool returns a pool of at most limit bytes. Holders of many buffers, such as
// caches, must leave some for those in flight, or Get waits forever.
func NewPool(limit int64) *Pool {
	return &Pool{limit: limit, keep: limit / idleShare, free: make(map[int][]*Buffer)}
}

// OnShort sets f to be called, by the goroutine that asks, when a Get has to wait
// for that many bytes: a cache of buffers may release some. Call it before the
// first Get.
func (p *Pool) OnShort(f func(bytes int64)) { p.short = f }

// BufferSize returns how many bytes of a pool a buffer of size takes.
func BufferSize(size int64) int64 { return int64(classOf(int(size))) }

// Get lends a buffer of size bytes with arbitrary content, and waits while the
// pool's memory is in use. The errors are ErrTooLarge and the cause of ctx.
func (p *Pool) Get(ctx context.Context, size int) (*Buffer, error) {
	class := classOf(size)
	if int64(class) > p.limit {
		return nil, fmt.Errorf("%w: %d bytes of %d; raise the pool's limit", ErrTooLarge, size, p.limit)
	}
	p.mu.Lock()
	if p.waiting.Len() == 0 {
		if b := p.take(class); b != nil {
			p.mu.Unlock()
			b.n = size
			return b, nil
		}
	}
	c := &claim{size: class, ready: make(chan *Buffer, 1)}
	at := p.waiting.PushBack(c)
	p.mu.Unlock()
	if p.short != nil {
		p.short(int64(class))
	}
	select {
	case b := <-c.ready:
		b.n = size
		return b, nil
	case <-ctx.Done():
		return nil, p.abandon(ctx, at, c)
	}
}

// abandon withdraws a claim; a buffer granted in the meantime is returned.
func (p *Pool) abandon(ctx context.Context, at *list.Element, c *claim) error {
	p.mu.Lock()
	select {
	case b := <-c.ready:
		p.mu.Unlock()
		b.Release()
	default:
		p.waiting.Remove(at)
		p.grant()
		p.mu.Unlock()
	}
	return context.Cause(ctx)
}

// Used returns the bytes taken from the system, lent or idle.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Lent returns the bytes of buffers that have references.
func (p *Pool) Lent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used - p.idle
}

// Limit returns the maximum bytes of the pool.
func (p *Pool) Limit() int64 { return p.limit }

// take reuses or allocates a buffer, or returns nil if there is no space. Holds
// mu.
func (p *Pool) take(class int) *Buffer {
	if idle := p.free[class]; len(idle) > 0 {
		b := idle[len(idle)-1]
		idle[len(idle)-1] = nil
		p.free[class] = idle[:len(idle)-1]
		p.idle -= int64(class)
		b.refs.Store(1)
		return b
	}
	if p.used+int64(class) > p.limit && !p.shrink(p.used+int64(class)-p.limit) {
		return nil
	}
	p.used += int64(class)
	b := &Buffer{mem: p.memory.allocate(class), pool: p}
	b.refs.Store(1)
	return b
}

// shrink frees at least n bytes of idle buffers, if there are that many. Holds
// mu.
func (p *Pool) shrink(n int64) bool {
	if p.idle < n {
		return false
	}
	for class, idle := range p.free {
		for len(idle) > 0 && n > 0 {
			b := idle[len(idle)-1]
			idle[len(idle)-1] = nil
			idle = idle[:len(idle)-1]
			p.idle -= int64(class)
			n -= int64(class)
			p.discard(b)
		}
		p.free[class] = idle
	}
	return true
}

// discard releases the memory of b to the system. Holds mu.
func (p *Pool) discard(b *Buffer) {
	p.used -= int64(len(b.mem))
	p.memory.release(b.mem)
	b.mem = nil
}

// put takes back an unreferenced buffer.
func (p *Pool) put(b *Buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	class := len(b.mem)
	if p.waiting.Len() == 0 && p.idle+int64(class) > p.keep {
		p.discard(b)
		return
	}
	p.free[class] = append(p.free[class], b)
	p.idle += int64(class)
	p.grant()
}

// grant serves waiters in order, as far as memory allows. Holds mu.
func (p *Pool) grant() {
	for at := p.waiting.Front(); at != nil; at = p.waiting.Front() {
		c := at.Value.(*claim)
		b := p.take(c.size)
		if b == nil {
			return
		}
		p.waiting.Remove(at)
		c.ready <- b
	}
}

// classOf returns the size class for size: 4, 5, 6 or 7 times a power of two, and
// at least one block.
func classOf(size int) int {
	step := BlockSize
	for step*8 < size {
		step *= 2
	}
	return max(1, (size+step-1)/step) * step
}
