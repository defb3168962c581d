package blockfs

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkWriters measures durable writes with a fixed number in flight, cycling through a
// file. ns/op is the time between two completions.
func BenchmarkWriters(b *testing.B) {
	for _, engine := range engines() {
		for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
			for _, depth := range []int{1, 8} {
				b.Run(fmt.Sprintf("%s/%dKiB/depth-%d", engine, size>>10, depth), func(b *testing.B) {
					benchmarkWriter(b, engine, size, depth)
				})
			}
		}
	}
}

func benchmarkWriter(b *testing.B, engine Engine, size, depth int) {
	const fileSize = 64 << 20
	d := openDir(b, Options{Engine: engine})
	f := create(b, d, "a", fileSize)
	w, err := d.NewWriter(depth)
	if err != nil {
		b.Fatal(err)
	}
	pool := NewPool(64 << 20)
	free := make(chan *Buffer, depth)
	for range depth {
		buf, err := pool.Get(b.Context(), size)
		if err != nil {
			b.Fatal(err)
		}
		free <- buf
	}
	var failed atomic.Pointer[error]
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := range b.N {
		buf := <-free
		w.Submit(Request{File: f, Off: int64(i*size) % fileSize, Buffer: buf, Mode: Durable, Done: func(err error) {
			if err != nil {
				failed.Store(&err)
			}
			free <- buf
		}})
	}
	w.Close()
	if err := failed.Load(); err != nil {
		b.Error(*err)
	}
}
