package guard

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

var (
	// ErrDamaged means that neither page of the file is readable.
	ErrDamaged = errors.New("the guard is damaged")
	// ErrVersion means that the file was written by a newer version of the program.
	ErrVersion = errors.New("the guard has an unsupported version")
)

// File is an open guard. Its methods are safe for concurrent use.
type File struct {
	disk *os.File

	mu      sync.Mutex // guards marks and changes
	marks   map[Replica]Mark
	changes uint64

	writing    sync.Mutex // guards what follows; taken before mu
	generation uint64     // of the last page written
	written    uint64     // changes that are durable
	failed     error
}

// Create creates an empty guard atomically.
func Create(path string) (*File, error) {
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(append(encode(0, nil), encode(1, nil)...))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(temporary, path); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, err
	}
	return Open(path)
}

// Open opens an existing guard.
func Open(path string) (*File, error) {
	disk, err := os.OpenFile(path, os.O_RDWR|syscall.O_DSYNC, 0)
	if err != nil {
		return nil, err
	}
	f := &File{disk: disk}
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, disk.Close()))
	}
	return f, nil
}

// load reads the newer of the readable pages.
func (f *File) load() error {
	st, err := f.disk.Stat()
	if err != nil {
		return err
	}
	if st.Size() != 2*pageBytes {
		return fmt.Errorf("%w: it has %d bytes, not %d", ErrDamaged, st.Size(), 2*pageBytes)
	}
	var errs []error
	for at := range int64(2) {
		p := make([]byte, pageBytes)
		if _, err := f.disk.ReadAt(p, at*pageBytes); err != nil {
			return err
		}
		generation, marks, err := decode(p)
		if errors.Is(err, ErrVersion) {
			return err
		}
		if err == nil && generation%2 != uint64(at) {
			err = fmt.Errorf("%w: page %d is at the position of the other", ErrDamaged, at)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f.marks == nil || generation > f.generation {
			f.marks, f.generation = marks, generation
		}
	}
	if f.marks == nil {
		return errors.Join(errs...)
	}
	return nil
}

// Marks returns all marks.
func (f *File) Marks() map[Replica]Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.marks)
}

// Mark returns the mark of a replica, the zero Mark if there is none.
func (f *File) Mark(r Replica) Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks[r]
}

// Save stores marks and returns once they are durable.
func (f *File) Save(marks map[Replica]Mark) error {
	return f.change(func() { maps.Copy(f.marks, marks) })
}

// Forget removes a replica's mark and returns once that is durable.
func (f *File) Forget(r Replica) error {
	return f.change(func() { delete(f.marks, r) })
}

func (f *File) change(apply func()) error {
	f.mu.Lock()
	apply()
	f.changes++
	mine := f.changes
	f.mu.Unlock()

	f.writing.Lock()
	defer f.writing.Unlock()
	if f.failed != nil {
		return f.failed
	}
	if f.written >= mine {
		return nil // written by another caller
	}
	if err := f.write(); err != nil {
		f.failed = fmt.Errorf("guard %s: %w", f.disk.Name(), err)
	}
	return f.failed
}

// write overwrites the older page.
func (f *File) write() error {
	f.mu.Lock()
	changes, replicas, page := f.changes, len(f.marks), []byte(nil)
	if replicas <= MaxReplicas {
		page = encode(f.generation+1, f.marks)
	}
	f.mu.Unlock()
	if page == nil {
		return fmt.Errorf("%d logs; at most %d are supported", replicas, MaxReplicas)
	}
	if _, err := f.disk.WriteAt(page, int64((f.generation+1)%2)*pageBytes); err != nil {
		return err
	}
	f.generation++
	f.written = changes
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.disk.Close() }
