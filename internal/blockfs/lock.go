package blockfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Lock locks the existing directory at path for this process until release is
// called or the process ends. Errors wrap ErrLocked, ErrReadOnly, ErrNoSpace or
// those of package os.
func Lock(path string) (release func() error, err error) {
	d := &Dir{path: path}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	return d.lock.Close, nil
}

// LockUsed is Lock for a directory that may not exist or may be unused: one that was never
// locked is left alone, and release does nothing.
func LockUsed(path string) (release func() error, err error) {
	if _, err := os.Stat(filepath.Join(path, lockName)); errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	return Lock(path)
}
