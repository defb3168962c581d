package blockfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// bounceSize is the size of the bounce buffer for unaligned reads.
const bounceSize = 256 << 10

// prefillSize is the size of the writes that initialise a file.
const prefillSize = 1 << 20

// file is a File of the operating system.
type file struct {
	dir  *Dir
	name string
	f    *os.File
	fd   int // of f; valid as long as f
	size int64
}

// Size implements File.
func (f *file) Size() int64 { return f.size }

// Close implements File.
func (f *file) Close() error { return f.dir.explain("close", f.name, f.f.Close()) }

// ReadAt implements File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if !f.dir.direct || off%BlockSize == 0 && IsAligned(p) {
		return f.read(p, off)
	}
	bounce := f.dir.bounces.Get().(*[]byte)
	defer f.dir.bounces.Put(bounce)
	n := 0
	for n < len(p) {
		at := off + int64(n)
		skip := int(at % BlockSize)
		window := (*bounce)[:min(AlignUp(int64(skip+len(p)-n)), bounceSize)]
		got, err := f.read(window, at-int64(skip))
		if got <= skip {
			return n, err // not nil, since less than the window was read
		}
		n += copy(p[n:], window[skip:got])
		if err != nil && n < len(p) {
			return n, err
		}
	}
	return n, nil
}

func (f *file) read(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF {
		return n, err
	}
	return n, f.dir.explain("read", f.name, err)
}

// WriteAt implements File.
func (f *file) WriteAt(p []byte, off int64, m Mode) error {
	if err := f.checkWrite(p, off); err != nil {
		return err
	}
	dsync := m == Durable && f.dir.dsync
	for len(p) > 0 {
		n, err := pwrite(f.fd, p, off, dsync)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return f.dir.explain("write", f.name, err)
		}
		p, off = p[n:], off+int64(n)
		if len(p) > 0 && !IsAligned(p) {
			return f.dir.explain("write", f.name, io.ErrShortWrite)
		}
	}
	if m == Durable && !dsync {
		return f.Sync()
	}
	return nil
}

func (f *file) checkWrite(p []byte, off int64) error {
	if off%BlockSize != 0 || !IsAligned(p) || off+int64(len(p)) > f.size {
		return fmt.Errorf("write %d bytes at %d of %s: %w", len(p), off, f.name, ErrMisaligned)
	}
	return nil
}

// Sync implements File.
func (f *file) Sync() error {
	for {
		err := fdatasync(f.fd)
		if !errors.Is(err, syscall.EINTR) {
			return f.dir.explain("sync", f.name, err)
		}
	}
}

// forget makes later reads come from the disk. The page cache may hold data that
// an earlier sync, of a process that died because it failed, did not write.
func (f *file) forget() error {
	if err := f.Sync(); err != nil {
		return err
	}
	return f.dir.explain("drop the cache of", f.name, dropCache(f.fd))
}

// prefill allocates size bytes and writes zeroes to them.
func (f *file) prefill(size int64) error {
	if err := allocateFile(f.fd, size); err != nil && !unsupported(err) {
		return f.dir.explain("allocate", f.name, err)
	}
	if err := f.f.Truncate(size); err != nil {
		return f.dir.explain("allocate", f.name, err)
	}
	f.size = size
	zeroes := Aligned(prefillSize)
	for off := int64(0); off < size; off += prefillSize {
		if err := f.WriteAt(zeroes[:min(prefillSize, size-off)], off, Volatile); err != nil {
			return err
		}
	}
	return f.dir.explain("sync", f.name, f.f.Sync())
}
