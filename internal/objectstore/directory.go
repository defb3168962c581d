package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Objects on a local disk are written with direct I/O where the file system supports it.
// Consumers at the tail read from the write cache, not from the page cache, and a page of
// the page cache for each 4 KiB written costs far more than the copy: unused memory has to
// be zeroed, on a virtual machine the host has to supply it, and pages in use are evicted.
//
// The WAL is often on the same disk. An upload with one write in flight next to eight of
// the WAL gets a ninth of the disk, and falls behind producers.
const (
	// directStep is the size of one direct write, and directWrites how many are in flight:
	// an upload often is one object. config.Broker.UploadMemory counts the memory.
	directStep   = 256 << 10
	directWrites = 8
	// growStep is how far the file is extended at a time, ahead of the writes: writes that
	// extend a file wait for each other.
	growStep = 4 << 20
)

// Through the page cache:
const (
	// flushStep is how much is flushed to disk at a time: an object left in the page cache
	// until it is synced would block the WAL's writes while the disk takes all of it.
	flushStep = 1 << 20
	// copyStep is the size of one write. Larger ones get large folios of the page cache,
	// memory that on a virtual machine the host has to supply first.
	copyStep = 32 << 10
	// cachedBytes is how much of an object stays in the page cache; beyond that, what has
	// reached the disk is evicted.
	cachedBytes = 16 << 20
)

// write creates the file of key with the contents of b, whole or not at all, even after a
// crash. An existing file is left as it is (fs.ErrExist).
func (s *Store) write(ctx context.Context, key string, b *body) error {
	path := filepath.Join(s.dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := createUnnamed(filepath.Dir(path))
	if err != nil {
		return err
	}
	if direct(f.File) {
		err = fillDirect(ctx, f.File, b)
	} else {
		err = fillCached(ctx, f.File, b)
	}
	if err == nil {
		err = f.publish(path)
	}
	if err = errors.Join(err, f.discard()); err != nil {
		return err
	}
	return s.sync(key) // also directories made by a writer that then crashed
}

// fillDirect writes b to f, which is open for direct I/O, and syncs it. Writes are whole
// blocks; the padding of the last one is truncated.
func fillDirect(ctx context.Context, f *os.File, b io.Reader) error {
	w := newDirectWriter(f)
	size, err := w.copy(ctx, b)
	if err = errors.Join(err, w.wait()); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// directWriter keeps several writes in flight.
type directWriter struct {
	f       *os.File
	grown   int64 // the file's size
	free    chan *[]byte
	writes  sync.WaitGroup
	failing sync.Once
	failed  chan struct{}
	err     error // valid once failed is closed
}

func newDirectWriter(f *os.File) *directWriter {
	w := &directWriter{f: f, free: make(chan *[]byte, directWrites), failed: make(chan struct{})}
	for range directWrites {
		buf, _ := directBuffers.Get().(*[]byte)
		w.free <- buf
	}
	return w
}

var directBuffers = sync.Pool{New: func() any { b := blockfs.Aligned(directStep); return &b }}

// copy starts the writes of all of b and returns its size.
func (w *directWriter) copy(ctx context.Context, b io.Reader) (size int64, err error) {
	for {
		var buf *[]byte
		select {
		case buf = <-w.free:
		case <-w.failed:
			return size, nil // wait returns the error
		}
		if ctx.Err() != nil {
			w.free <- buf
			return size, context.Cause(ctx)
		}
		n, err := readAll(b, *buf)
		if n > 0 {
			whole := int(blockfs.AlignUp(int64(n)))
			clear((*buf)[n:whole])
			if size+int64(whole) > w.grown {
				grow(w.f, w.grown, growStep)
				w.grown += growStep
			}
			w.begin(buf, whole, size)
			size += int64(n)
		} else {
			w.free <- buf
		}
		switch {
		case err == io.EOF: //nolint:errorlint // readers end with io.EOF itself; one that was cut short returns another error
			return size, nil
		case err != nil:
			return size, err
		}
	}
}

// readAll is io.ReadFull, except that it returns the error of r as it is.
func readAll(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// begin starts a write of the first n bytes of buf at off, which then frees buf.
func (w *directWriter) begin(buf *[]byte, n int, off int64) {
	w.writes.Go(func() {
		if _, err := w.f.WriteAt((*buf)[:n], off); err != nil {
			w.failing.Do(func() { w.err = err; close(w.failed) })
		}
		w.free <- buf
	})
}

// wait returns the first error once nothing is in flight. The writer must not be used
// afterwards.
func (w *directWriter) wait() error {
	w.writes.Wait()
	close(w.free)
	for buf := range w.free {
		directBuffers.Put(buf)
	}
	return w.err
}

// fillCached writes b to f through the page cache and syncs it.
func fillCached(ctx context.Context, f *os.File, b io.Reader) error {
	buf := make([]byte, copyStep)
	for off, begun := int64(0), int64(0); ; {
		n, err := b.Read(buf)
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return err
			}
			off += int64(n)
		}
		if off-begun >= flushStep {
			if err := flush(f, begun, off-begun); err != nil {
				return err
			}
			begun = off
			if begun > cachedBytes {
				uncache(f, begun-cachedBytes)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := f.Sync(); err != nil {
				return err
			}
			if off > cachedBytes {
				uncache(f, off)
			}
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// named creates a file under a name that no object has.
func named(dir string) (unnamed, error) {
	f, err := os.CreateTemp(dir, ".incoming-*")
	if err != nil {
		return unnamed{}, err
	}
	return unnamed{File: f, path: f.Name()}, nil
}

// unnamed is a file that is not an object yet. Where the file system supports it, the
// file has no name and disappears with the process.
type unnamed struct {
	*os.File
	path string // empty if it has no name
}

// publish links the file at path unless that is taken.
func (f unnamed) publish(path string) error {
	if f.path == "" {
		return linkUnnamed(f.File, path)
	}
	return os.Link(f.path, path)
}

// discard closes the file, which disappears unless it was published.
func (f unnamed) discard() error {
	err := f.Close()
	if f.path != "" {
		err = errors.Join(err, os.Remove(f.path))
	}
	return err
}

func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
