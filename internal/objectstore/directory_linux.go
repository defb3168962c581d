package objectstore

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// createUnnamed creates a file without a name in dir. NFS, for one, does not
// support that.
func createUnnamed(dir string) (unnamed, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o640)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return named(dir)
	case err != nil:
		return unnamed{}, &os.PathError{Op: "create in", Path: dir, Err: err}
	}
	return unnamed{File: os.NewFile(uintptr(fd), dir+"/(unnamed)")}, nil
}

// linkUnnamed gives an unnamed file its name. Going through /proc needs no
// privilege (see open(2), O_TMPFILE).
func linkUnnamed(f *os.File, path string) error {
	from := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	if err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: path, Err: err}
	}
	return nil
}

// flush starts writeback of n bytes of f at off. It makes nothing durable: that
// takes a sync at the end, which then has little left to do.
func flush(f *os.File, off, n int64) error {
	err := unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "flush", Path: f.Name(), Err: err}
	}
	return nil
}

// uncache evicts the written part of the first n bytes of f from the page cache.
// The kernel keeps dirty pages; this is advice, and nothing depends on it.
func uncache(f *os.File, n int64) {
	_ = unix.Fadvise(int(f.Fd()), 0, n, unix.FADV_DONTNEED)
}

// direct switches f to direct I/O, or returns false if the file system does not
// support it with our block size.
func direct(f *os.File) bool {
	fd := f.Fd()
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	if _, err = unix.FcntlInt(fd, unix.F_SETFL, flags|unix.O_DIRECT); err != nil {
		return false
	}
	if _, err = f.WriteAt(blockfs.Aligned(blockfs.BlockSize), 0); err == nil {
		return true
	}
	_, _ = unix.FcntlInt(fd, unix.F_SETFL, flags) // restore
	return false
}

// grow allocates n more bytes of f. If that fails, the writes allocate, one after
// another.
func grow(f *os.File, size, n int64) {
	_ = unix.Fallocate(int(f.Fd()), 0, size, n)
}
