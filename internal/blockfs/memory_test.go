//go:build linux && !race

package blockfs

import (
	"bytes"
	"context"
	"runtime"
	"testing"
)

// A cache full of small images must not be on the Go heap: the garbage collector would
// run continuously near its limit. At 300 MB it ran 1,000 times in 17 seconds, and each
// run stopped producers for milliseconds.
func TestSmallBuffersAreNotOnTheHeap(t *testing.T) {
	const size, count = 8 << 10, 4096
	p := NewPool(2 * size * count)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	buffers := getAll(t, p, size, count)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > size*count/16 {
		t.Errorf("buffers of %d bytes took %d bytes of the heap", size*count, grown)
	}
	for _, b := range buffers {
		b.Release()
	}
}

// Buffers of one size share slabs, but no memory; pages that the pool does not keep are
// returned to the system, so they read as zeroes afterwards.
func TestSmallBuffersReturnTheirPages(t *testing.T) {
	for _, size := range []int{BlockSize, 3 * BlockSize, 7 * BlockSize, mapped - 2*BlockSize} {
		const count = 100
		p := NewPool(int64(size * count))
		buffers := getAll(t, p, size, count)
		for i, b := range buffers {
			if !IsAligned(b.Bytes()) {
				t.Fatalf("a buffer of %d bytes is not aligned", size)
			}
			fillWith(b.Bytes(), byte(i+1))
		}
		for i, b := range buffers {
			if want := bytes.Repeat([]byte{byte(i + 1)}, size); !bytes.Equal(b.Bytes(), want) {
				t.Fatalf("buffer %d of %d bytes shares memory with another", i, size)
			}
			b.Release()
		}
		if used := p.Used(); used > p.Limit()/idleShare {
			t.Errorf("the pool keeps %d bytes, limit %d", used, p.Limit())
		}
		zeroed := 0
		for _, b := range getAll(t, p, size, count) {
			if bytes.Equal(b.Bytes(), make([]byte, size)) {
				zeroed++
			}
			b.Release()
		}
		if least := count - count/idleShare; zeroed < least {
			t.Errorf("%d of %d buffers of %d bytes read as zeroes, want %d: their pages were kept", zeroed, count, size, least)
		}
	}
}

func fillWith(p []byte, b byte) {
	for i := range p {
		p[i] = b
	}
}

func getAll(t *testing.T, p *Pool, size, count int) []*Buffer {
	t.Helper()
	out := make([]*Buffer, count)
	for i := range out {
		b, err := p.Get(context.Background(), size)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = b
	}
	return out
}
