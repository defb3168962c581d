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

// An object goes to a local disk past the page cache where the file system lets it. It is
// the write cache that consumers at the tail read, and a page of the page cache for each
// 4 KiB of a stream costs far more than the copying: memory that was not in use has to be
// cleared, on a virtual machine the host has to find it, and pages that others use have
// to make room.
//
// The WAL is often on the same disk. An upload with one write in flight beside eight of
// the log gets a ninth of the disk, and falls behind producers.
const (
	// directStep is what one write past the page cache has, and directWrites how many are
	// in flight: an upload often is one object. config.Broker.UploadMemory counts the memory.
	directStep   = 256 << 10
	directWrites = 8
	// growStep is how much of the file is made at a time, before it is written: writes that
	// make a file longer wait for each other.
	growStep = 4 << 20
)

// Through the page cache:
const (
	// flushStep is how much is given to the disk at a time: an object that is left in the
	// page cache until it is synced holds up the log's writes for as long as the disk takes
	// for all of it.
	flushStep = 1 << 20
	// copyStep is what one write takes. Larger ones get large folios of the page cache,
	// which on a virtual machine are memory that the host has to find first.
	copyStep = 32 << 10
	// cachedBytes of an object stay in the page cache; what the disk has taken beyond that
	// leaves it.
	cachedBytes = 16 << 20
)

// write makes the file of key of what b holds. It appears whole or not at all, also
// after a crash; a key that is there already is left as it is (fs.ErrExist).
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
	return s.sync(key) // of directories that others have made, and died, too
}

// fillDirect writes b to f, which is open for that, past the page cache, and makes it
// durable. Writes are whole blocks; what the last one has too much is cut off again.
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

// directWriter has several writes in flight.
type directWriter struct {
	f       *os.File
	grown   int64 // the file's size
	free    chan *[]byte
	writes  sync.WaitGroup
	failing sync.Once
	failed  chan struct{}
	err     error // once failed is closed
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

// copy begins to write all of b and returns its size.
func (w *directWriter) copy(ctx context.Context, b io.Reader) (size int64, err error) {
	for {
		var buf *[]byte
		select {
		case buf = <-w.free:
		case <-w.failed:
			return size, nil // wait has the error
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
		case err == io.EOF: //nolint:errorlint // readers end with io.EOF itself; one that was cut off has another
			return size, nil
		case err != nil:
			return size, err
		}
	}
}

// readAll is io.ReadFull whose error is that of r.
func readAll(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// begin writes the first n bytes of buf at off, and gives buf back.
func (w *directWriter) begin(buf *[]byte, n int, off int64) {
	w.writes.Go(func() {
		if _, err := w.f.WriteAt((*buf)[:n], off); err != nil {
			w.failing.Do(func() { w.err = err; close(w.failed) })
		}
		w.free <- buf
	})
}

// wait returns once nothing is in flight, with the first error there was. It ends the
// writer.
func (w *directWriter) wait() error {
	w.writes.Wait()
	close(w.free)
	for buf := range w.free {
		directBuffers.Put(buf)
	}
	return w.err
}

// fillCached writes b to f through the page cache and makes it durable.
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

// named is a file under a name that no object has.
func named(dir string) (unnamed, error) {
	f, err := os.CreateTemp(dir, ".incoming-*")
	if err != nil {
		return unnamed{}, err
	}
	return unnamed{File: f, path: f.Name()}, nil
}

// unnamed is a file that is no object yet. Where the file system can, it has no name
// and is gone with the process.
type unnamed struct {
	*os.File
	path string // empty if it has no name
}

// publish gives the file its name unless that is taken.
func (f unnamed) publish(path string) error {
	if f.path == "" {
		return linkUnnamed(f.File, path)
	}
	return os.Link(f.path, path)
}

// discard closes the file, which is gone unless it was published.
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
