package blockfs

import "sync/atomic"

// Buffer is block-aligned, reference-counted memory of a Pool. Only the goroutine
// that got it may write its bytes, before sharing it.
type Buffer struct {
	mem  []byte // a whole size class
	n    int
	refs atomic.Int32
	pool *Pool
}

// Bytes returns the memory in use. Its capacity is what the buffer takes from the
// pool. It must not be touched after the caller's Release.
func (b *Buffer) Bytes() []byte { return b.mem[:b.n] }

// Resize sets the length of Bytes; newly exposed bytes are not cleared. A length
// above the capacity breaks an invariant and panics.
func (b *Buffer) Resize(n int) {
	if n < 0 || n > len(b.mem) {
		panic("blockfs: buffer resized beyond its capacity")
	}
	b.n = n
}

// Retain adds a reference. The caller must hold one.
func (b *Buffer) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("blockfs: retain of a buffer that was released")
	}
}

// Release drops a reference; the last one returns the memory to the pool.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.put(b)
	case n < 0:
		panic("blockfs: buffer released more often than retained")
	}
}
