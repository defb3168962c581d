package raftfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// spareBytes is how much room a file of the reserve has.
const spareBytes = 64 << 10

// Reserve is room that no other program can take. A nil Reserve has none. Its
// methods are safe for concurrent use.
type Reserve struct {
	dir  string
	want int

	mu     sync.Mutex
	spares int  // spare files are numbered from 0, without gaps
	used   bool // some were taken since Fill last had them all
}

// NewReserve returns a reserve of so many bytes in a directory of its own, as far
// as it is there already; see Fill.
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

// shrink gives back what is above a reserve that was larger once.
func (r *Reserve) shrink() error {
	for r.spares > r.want {
		if err := os.Remove(r.path(r.spares - 1)); err != nil {
			return fmt.Errorf("reserve of the metadata: %w", err)
		}
		r.spares--
	}
	return nil
}

// Fill allocates what is missing. It fails where the disk has no room for it.
func (r *Reserve) Fill() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.spares < r.want {
		if err := r.add(); err != nil {
			return fmt.Errorf("reserve of the metadata, %d of %d bytes are there: %w", r.spares*spareBytes, r.want*spareBytes, root(err))
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
		_, err = f.Write(make([]byte, spareBytes)) // the next best; it is freed when it is taken
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Bytes returns how much there is, and Used whether some of it was taken and could
// not be allocated again yet.
func (r *Reserve) Bytes() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.spares) * spareBytes
}

// Used reports whether some of the reserve was taken since it was last whole.
func (r *Reserve) Used() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// give frees one spare file for a write that found no room.
func (r *Reserve) give() bool {
	return r.take(func(spare string) error { return os.Remove(spare) })
}

// rename makes a file out of a spare one, with its blocks.
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
