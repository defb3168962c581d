package blockfs

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	hasDirect  = true
	hasDsync   = true
	directFlag = unix.O_DIRECT
)

// pwrite makes one write call, which may be short. With dsync the bytes, and the
// metadata needed to find them, are on disk when it returns.
func pwrite(fd int, p []byte, off int64, dsync bool) (int, error) {
	if dsync {
		return unix.Pwritev2(fd, [][]byte{p}, off, unix.RWF_DSYNC)
	}
	return unix.Pwrite(fd, p, off)
}

func fdatasync(fd int) error { return unix.Fdatasync(fd) }

func dropCache(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }

func allocateFile(fd int, size int64) error {
	for {
		if err := unix.Fallocate(fd, 0, 0, size); err != unix.EINTR {
			return err
		}
	}
}

func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func freeSpace(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func totalSpace(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Blocks) * s.Bsize, nil
}

func device(path string) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint64(s.Dev), nil //nolint:unconvert // it has 32 bits on some architectures
}
