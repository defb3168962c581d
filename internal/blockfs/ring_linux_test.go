package blockfs

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
)

func openDir(t testing.TB, o Options) *Dir {
	t.Helper()
	d, err := OpenDir(t.TempDir(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func create(t testing.TB, d *Dir, name string, size int64) File {
	t.Helper()
	f, err := d.Create(name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func engines() []Engine { return []Engine{IOURing, Pwrite, Buffered} }

// TestWriters has several goroutines write a file through one Writer of each
// engine: every byte is where it belongs once done was called.
func TestWriters(t *testing.T) {
	const size, piece, writers = 4 << 20, 16 << 10, 4
	for _, engine := range engines() {
		t.Run(string(engine), func(t *testing.T) {
			d := openDir(t, Options{Engine: engine})
			f := create(t, d, "a", size)
			w, err := d.NewWriter(8)
			if err != nil {
				t.Fatal(err)
			}
			if w.Name() != string(engine) {
				t.Errorf("the writer is %s", w.Name())
			}
			want := make([]byte, size)
			rand.NewChaCha8([32]byte{1}).Read(want)
			pool := NewPool(64 << 20)
			var under, submitters sync.WaitGroup
			for i := range writers {
				submitters.Go(func() {
					for off := int64(i * piece); off < size; off += writers * piece {
						b, err := pool.Get(t.Context(), piece)
						if err != nil {
							t.Error(err)
							return
						}
						copy(b.Bytes(), want[off:])
						under.Add(1)
						w.Submit(Request{File: f, Off: off, Buffer: b, Mode: Mode(off / piece % 2), Done: func(err error) {
							if err != nil {
								t.Error(err)
							}
							b.Release()
							under.Done()
						}})
					}
				})
			}
			submitters.Wait()
			under.Wait()
			got := make([]byte, size)
			if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("what was written is not read: %v", err)
			}
			w.Close()
		})
	}
}
