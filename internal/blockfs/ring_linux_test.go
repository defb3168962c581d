package blockfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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

// TestWriters writes a file from several goroutines through one Writer, with each
// engine: every byte is in place once done is called.
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
				t.Errorf("read differs from what was written: %v", err)
			}
			w.Close()
		})
	}
}

// TestShortWrites completes only part of a write: the ring's writer continues after
// whole blocks, and fails otherwise.
func TestShortWrites(t *testing.T) {
	d := openDir(t, Options{Engine: IOURing})
	writer, err := d.NewWriter(1)
	if err != nil {
		t.Fatal(err)
	}
	w := writer.(*ringWriter)
	defer w.Close()
	for res, want := range map[int]struct {
		err  error
		from int // first block of the next write
	}{
		BlockSize:         {nil, 1},
		3 * BlockSize:     {nil, 3},
		-int(unix.EINTR):  {nil, 0},
		0:                 {io.ErrShortWrite, 4},
		100:               {io.ErrShortWrite, 4},
		-int(unix.EIO):    {unix.EIO, 4},
		-int(unix.ENOSPC): {ErrNoSpace, 4},
	} {
		f := create(t, d, fmt.Sprint("f", res), 4*BlockSize).(*file)
		p := Aligned(4 * BlockSize)
		for i := range p {
			p[i] = 'x'
		}
		done := make(chan error, 1)
		w.room <- struct{}{}
		i, _ := w.take(slot{Request: Request{Mode: Durable, Done: func(err error) { done <- err }}, file: f, rest: p})
		w.reap(uint64(i), res)
		if err := <-done; !errors.Is(err, want.err) {
			t.Errorf("%d: %v, want %v", res, err, want.err)
		}
		got := make([]byte, len(p))
		if _, err := f.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if blocks := bytes.Count(got, []byte{'x'}) / BlockSize; blocks != 4-want.from || blocks > 0 && got[want.from*BlockSize] != 'x' {
			t.Errorf("%d: the next write has %d blocks", res, blocks)
		}
	}
}

// TestForeignFiles: a ring's writer only writes files of its own directory.
func TestForeignFiles(t *testing.T) {
	d, other := openDir(t, Options{Engine: IOURing}), openDir(t, Options{})
	w, err := d.NewWriter(1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b, err := NewPool(1<<20).Get(t.Context(), BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	done := make(chan error, 1)
	w.Submit(Request{File: create(t, other, "a", BlockSize), Buffer: b, Done: func(err error) { done <- err }})
	if err := <-done; !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
