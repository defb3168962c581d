package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// flushStep is how much of an object on a local disk is given to the disk at a time. The
// WAL is often on the same disk: an object that is left in the page cache until it is
// synced holds up the log's writes for as long as the disk takes for all of it. Nobody
// waits for the disk before the end: uploads that wait for each step beside eight writes
// of the log get a ninth of the disk, and fall behind producers.
const flushStep = 1 << 20

// copyStep is what one write takes. Larger ones get large folios of the page cache,
// which on a virtual machine are memory that the host has to find first.
const copyStep = 32 << 10

// cachedBytes of an object that is being written are in the page cache, and what the disk
// has taken beyond that leaves it. It is the write cache that consumers at the tail read,
// and a page for each 4 KiB of a stream costs far more than copying it: memory that was
// not in use has to be cleared, on a virtual machine the host has to find it, and pages
// that others use have to make room. An object of no more than this stays in the cache.
const cachedBytes = 16 << 20

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
	err = fill(ctx, f.File, b)
	if err == nil {
		err = f.publish(path)
	}
	if err = errors.Join(err, f.discard()); err != nil {
		return err
	}
	return s.sync(key) // of directories that others have made, and died, too
}

// fill writes b to f and makes it durable.
func fill(ctx context.Context, f *os.File, b *body) error {
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
