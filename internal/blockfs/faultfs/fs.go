package faultfs

import (
	"fmt"
	"sync"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// FS is the file system. It is safe for concurrent use.
type FS struct {
	inner blockfs.FS

	mu    sync.Mutex
	names map[*file]string // of open files, following renames
	rules []*rule
	ops   []Op
	hits  []Op
}

// New returns inner with the faults of the expression; see the package. "" never
// fails.
func New(inner blockfs.FS, expression string) (*FS, error) {
	s := &FS{inner: inner, names: map[*file]string{}}
	return s, s.Set(expression)
}

// Set replaces the rules and restarts counting.
func (s *FS) Set(expression string) error {
	rules, err := parse(expression)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.ops, s.hits = rules, nil, nil
	return nil
}

// Ops returns the operations since the last Set, in order.
func (s *FS) Ops() []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Op(nil), s.ops...)
}

// Hits returns those of Ops that had a fault.
func (s *FS) Hits() []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Op(nil), s.hits...)
}

func (s *FS) nameOf(f *file) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[f]
}

// decide records an operation and returns its fault.
func (s *FS) decide(kind Kind, name string) fault {
	op := Op{kind, name}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, op)
	var f fault
	for _, r := range s.rules { // all of them count the operation
		if r.match(op) && f == (fault{}) {
			f = r.fault
		}
	}
	if f == (fault{}) {
		return f
	}
	s.hits = append(s.hits, op)
	if f.err != nil {
		f.err = fmt.Errorf("%s %s: %w", kind, name, f.err)
	}
	return f
}

// do performs an operation as decided. Operations that cannot be short fail.
func (s *FS) do(kind Kind, name string, f func() error) error {
	return s.decide(kind, name).around(f)
}

func (f fault) around(do func() error) error {
	if f.slow > 0 {
		time.Sleep(f.slow)
	}
	if f.err != nil && !f.late {
		return f.err
	}
	if err := do(); err != nil {
		return err
	}
	return f.err
}

// Create implements blockfs.FS. A late failure leaves the file there.
func (s *FS) Create(name string, size int64) (blockfs.File, error) {
	return s.opened(Create, name, func() (blockfs.File, error) { return s.inner.Create(name, size) })
}

// Open implements blockfs.FS.
func (s *FS) Open(name string) (blockfs.File, error) {
	return s.opened(Open, name, func() (blockfs.File, error) { return s.inner.Open(name) })
}

func (s *FS) opened(kind Kind, name string, open func() (blockfs.File, error)) (blockfs.File, error) {
	var inner blockfs.File
	err := s.do(kind, name, func() (err error) {
		inner, err = open()
		return err
	})
	if err != nil {
		if inner != nil {
			_ = inner.Close() // the fault is the error to report
		}
		return nil, err
	}
	f := &file{File: inner, fs: s}
	s.mu.Lock()
	s.names[f] = name
	s.mu.Unlock()
	return f, nil
}

// List implements blockfs.FS.
func (s *FS) List() (names []string, err error) {
	err = s.do(List, ".", func() (err error) {
		names, err = s.inner.List()
		return err
	})
	return names, err
}

// Remove implements blockfs.FS.
func (s *FS) Remove(name string) error {
	return s.do(Remove, name, func() error { return s.inner.Remove(name) })
}

// Rename implements blockfs.FS.
func (s *FS) Rename(from, to string) error {
	return s.do(Rename, from, func() error {
		err := s.inner.Rename(from, to)
		if err == nil {
			s.rename(from, to)
		}
		return err
	})
}

func (s *FS) rename(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f, name := range s.names {
		if name == from {
			s.names[f] = to
		}
	}
}

// SyncDir implements blockfs.FS.
func (s *FS) SyncDir() error { return s.do(SyncDir, ".", s.inner.SyncDir) }
