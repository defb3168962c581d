package blockfs

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

// ErrTooLarge: a buffer larger than the whole pool was asked for.
var ErrTooLarge = errors.New("buffer larger than its pool")

// Pool hands out aligned buffers, at most limit bytes at once. The memory is
// mapped outside the Go heap: caches of it do not make the collector work, and
// what is unmapped is gone at once. It is safe for concurrent use.
type Pool struct {
	limit int64
	room  *semaphore.Weighted // bytes not in use

	mu     sync.Mutex
	free   map[int][][]byte // by size
	idle   int64            // bytes in free
	mapped int64            // idle and in use
}

// NewPool returns a pool of at most limit bytes.
func NewPool(limit int64) *Pool {
	return &Pool{limit: limit, room: semaphore.NewWeighted(limit), free: make(map[int][][]byte)}
}

// Get returns a buffer of length size, with one reference, and waits for room
// if it must. Its contents are arbitrary.
func (p *Pool) Get(ctx context.Context, size int) (*Buffer, error) {
	c := classOf(size)
	if int64(c) > p.limit {
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrTooLarge, c, p.limit)
	}
	if err := p.room.Acquire(ctx, int64(c)); err != nil {
		return nil, err
	}
	mem, err := p.take(c)
	if err != nil {
		p.room.Release(int64(c))
		return nil, err
	}
	b := &Buffer{mem: mem, n: size, pool: p}
	b.refs.Store(1)
	return b, nil
}

// classOf rounds up to one of four sizes in each doubling, so that at most a
// fifth of a buffer is unused.
func classOf(size int) int {
	blocks := max((size+BlockSize-1)/BlockSize, 1)
	if blocks <= 8 {
		return blocks * BlockSize
	}
	step := 1 << (bits.Len(uint(blocks-1)) - 3)
	return (blocks + step - 1) / step * step * BlockSize
}

// take finds memory of exactly c bytes: idle memory of that size, or new memory,
// for which idle memory of other sizes makes room.
func (p *Pool) take(c int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if list := p.free[c]; len(list) > 0 {
		mem := list[len(list)-1]
		list[len(list)-1] = nil
		p.free[c] = list[:len(list)-1]
		p.idle -= int64(c)
		return mem, nil
	}
	p.shed(p.limit - int64(c))
	mem, err := unix.Mmap(-1, 0, c, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map a buffer of %d bytes: %w", c, err)
	}
	p.mapped += int64(c)
	return mem, nil
}

// shed unmaps idle memory until at most keep bytes are mapped or none is idle.
// REQUIRES: mu is held.
func (p *Pool) shed(keep int64) {
	for size, list := range p.free {
		for len(list) > 0 && p.mapped > keep {
			_ = unix.Munmap(list[len(list)-1]) // fails only for memory that is not ours
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			p.mapped -= int64(size)
			p.idle -= int64(size)
		}
		p.free[size] = list
	}
}

// put takes back the memory of a buffer.
func (p *Pool) put(b *Buffer) {
	c := len(b.mem)
	p.mu.Lock()
	p.free[c] = append(p.free[c], b.mem)
	p.idle += int64(c)
	p.mu.Unlock()
	b.mem = nil
	p.room.Release(int64(c))
}

// Trim unmaps all idle memory.
func (p *Pool) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shed(0)
}

// InUse returns the bytes of buffers that are referenced.
func (p *Pool) InUse() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mapped - p.idle
}

// Mapped returns the bytes of memory mapped, in use or idle.
func (p *Pool) Mapped() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mapped
}
