package objectstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
)

// Objects of any size are written whole, by direct I/O and through the page cache, whatever
// the sizes of the reads.
func TestFill(t *testing.T) {
	all := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{'f'}).Read(all) // never fails
	for name, fill := range map[string]func(context.Context, *os.File, io.Reader) error{"direct": fillDirect, "cached": fillCached} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{0, 1, 4095, 4096, 4097, directStep - 1, directStep, directStep + 1, flushStep + 5, 18<<20 + 7} {
				f := fresh(t, name == "direct")
				if err := fill(t.Context(), f, iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(all[:n])))); err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if b, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(b, all[:n]) {
					t.Errorf("wrote %d bytes, read %d, %v", n, len(b), err)
				}
			}
		})
	}
}

func fresh(t *testing.T, past bool) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "object"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if past && !direct(f) {
		t.Logf("no direct I/O in %s; whole blocks are written all the same", f.Name())
	}
	return f
}

// A failing source, a cancelled context and a failing disk are reported as errors, and leave
// no write in flight.
func TestFillFails(t *testing.T) {
	broken := errors.New("broken")
	over, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	readOnly, err := os.Open(fresh(t, false).Name())
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	content := func() io.Reader { return bytes.NewReader(make([]byte, 3<<20)) }
	for name, fill := range map[string]func(context.Context, *os.File, io.Reader) error{"direct": fillDirect, "cached": fillCached} {
		if err := fill(t.Context(), fresh(t, name == "direct"), io.MultiReader(content(), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("%s, a failing source: %v", name, err)
		}
		cut := io.MultiReader(io.LimitReader(content(), 1000), iotest.ErrReader(io.ErrUnexpectedEOF))
		if err := fill(t.Context(), fresh(t, name == "direct"), cut); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, a source that ends early: %v", name, err)
		}
		if err := fill(over, fresh(t, name == "direct"), content()); !errors.Is(err, broken) {
			t.Errorf("%s, a cancelled context: %v", name, err)
		}
		if err := fill(t.Context(), readOnly, content()); !errors.Is(err, syscall.EBADF) {
			t.Errorf("%s, a file that cannot be written: %v", name, err)
		}
	}
}

// A file system without direct I/O gets writes through the page cache, and the attempt at
// direct I/O leaves no trace.
func TestDirectIsTried(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "sluice-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "object"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if direct(f) {
		if err := fillDirect(t.Context(), f, bytes.NewReader([]byte("content"))); err != nil {
			t.Fatal(err)
		}
	} else if err := fillCached(t.Context(), f, bytes.NewReader([]byte("content"))); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(f.Name()); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
}
