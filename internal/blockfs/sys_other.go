//go:build !linux

package blockfs

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Other systems are for development: everything goes through the page cache.
const (
	hasDirect  = false
	hasDsync   = false
	directFlag = 0
)

func pwrite(fd int, p []byte, off int64, _ bool) (int, error) { return unix.Pwrite(fd, p, off) }

func fdatasync(fd int) error { return unix.Fsync(fd) }

func dropCache(int) error { return nil }

func allocateFile(int, int64) error { return errors.ErrUnsupported }

func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func freeSpace(string) (int64, error) { return math.MaxInt64, nil }

func totalSpace(string) (int64, error) { return 0, nil }

func device(path string) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint64(s.Dev), nil
}
