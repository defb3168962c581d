package raftfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// spareBytes is the size of one spare file.
const spareBytes = 64 << 10

// Reserve is disk space that no other program can take. A nil Reserve is empty. Its methods are
// safe for concurrent use.
type Reserve struct {
	dir  string
	want int

	mu     sync.Mutex
	spares int  // spare files are numbered from 0 without gaps
	used   bool // some were used since the reserve was last full
}

// NewReserve returns a reserve of that many bytes in its own directory, with the spare files
// that exist already; see Fill.
func NewReserve(dir string, bytes int64) (*Reserve, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil && !noRoom(err) {
		return nil, fmt.Errorf("reserve of the metadata: %w", err)
	}
	r := &Reserve{dir: dir, want: int((bytes + spareBytes - 1) / spareBytes)}
	for {
		if _, err := os.Stat(r.path(r.spares)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reserve of the metadata: %w", err)
		}
		r.spares++
	}
	return r, r.shrink()
}

func (r *Reserve) path(i int) string { return filepath.Join(r.dir, fmt.Sprintf("%04d", i)) }

// shrink removes spare files beyond the size of the reserve, which was larger before.
func (r *Reserve) shrink() error {
	for r.spares > r.want {
		if err := os.Remove(r.path(r.spares - 1)); err != nil {
			return fmt.Errorf("reserve of the metadata: %w", err)
		}
		r.spares--
	}
	return nil
}

// Fill allocates what is missing. It fails if the disk has no space for it.
func (r *Reserve) Fill() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.spares < r.want {
		if err := r.add(); err != nil {
			return fmt.Errorf("reserve of the metadata, %d of %d bytes allocated: %w", r.spares*spareBytes, r.want*spareBytes, root(err))
		}
		r.spares++
	}
	r.used = false
	return nil
}

func (r *Reserve) add() error {
	f, err := os.OpenFile(r.path(r.spares), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f.Fd(), 0, spareBytes)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) {
		_, err = f.Write(make([]byte, spareBytes)) // the next best, without fallocate; freed when it is used
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Bytes returns the space left in the reserve.
func (r *Reserve) Bytes() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.spares) * spareBytes
}

// Used reports whether some of the reserve was used since it was last full.
func (r *Reserve) Used() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// give frees one spare file for a write that ran out of space.
func (r *Reserve) give() bool {
	return r.take(func(spare string) error { return os.Remove(spare) })
}

// rename turns a spare file, with its blocks, into a new file.
func (r *Reserve) rename(to string) bool {
	return r.take(func(spare string) error {
		if info, err := os.Stat(spare); err != nil || info.Size() > 0 {
			return errors.Join(err, fs.ErrInvalid)
		}
		return os.Rename(spare, to)
	})
}

func (r *Reserve) take(take func(spare string) error) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spares == 0 || take(r.path(r.spares-1)) != nil {
		return false
	}
	r.spares--
	r.used = true
	return true
}
