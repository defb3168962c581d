package crashfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Kind is the kind of an operation.
type Kind string

// The operations that a Fault sees.
const (
	Create  Kind = "create"
	Open    Kind = "open"
	Remove  Kind = "remove"
	Rename  Kind = "rename"
	SyncDir Kind = "syncdir"
	Read    Kind = "read"
	Write   Kind = "write"
	Sync    Kind = "sync"
)

// Op is one operation. Applied is false before it begins; a change is reported
// again with Applied set, when it is visible but not yet durable.
type Op struct {
	Kind    Kind
	Name    string
	Off     int64
	Len     int
	Applied bool
}

// Fault decides about an operation. It runs on the goroutine of the operation and
// may call the FS.
type Fault func(Op) error

// ErrShort, returned by a Fault before a write, lets the first half through.
var ErrShort = errors.New("short write")

// FS is the file system. It is safe for concurrent use.
type FS struct {
	mu      sync.Mutex
	fault   Fault
	room    int64             // bytes available to files
	names   map[string]*inode // as the process sees them
	durable map[string]*inode // as the disk has them
	journal []change          // changes that lead from durable to names
}

// change is one directory change. A nil inode is a removal.
type change struct {
	from, to string
	inode    *inode
}

// New returns an empty FS of room bytes.
func New(room int64) *FS {
	return &FS{room: room, names: map[string]*inode{}, durable: map[string]*inode{}}
}

// SetFault installs f; nil removes it.
func (s *FS) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *FS) ask(op Op) error {
	s.mu.Lock()
	f := s.fault
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f(op); err != nil {
		return fmt.Errorf("%s %s: %w", op.Kind, op.Name, err)
	}
	return nil
}

// Keep chooses which unsynced data survives a Crash.
type Keep int

// The possible fates of unsynced data.
const (
	Nothing Keep = iota
	Everything
	Random
)

// Crash returns the disk as found after a power loss now. r is used only with
// Random.
func (s *FS) Crash(k Keep, r *rand.Rand) *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.journal)
	switch k {
	case Nothing:
		n = 0
	case Random:
		n = r.IntN(n + 1)
	}
	names := make(map[string]*inode, len(s.durable))
	for name, i := range s.durable {
		names[name] = i
	}
	apply(names, s.journal[:n])
	out := New(s.room)
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // so that r decides reproducibly
	for _, name := range sorted {
		i := names[name].crash(k, r)
		out.names[name], out.durable[name] = i, i
	}
	return out
}

// Kill returns the disk as the next process finds it if this one dies now:
// everything done is visible, and nothing more is durable than before.
func (s *FS) Kill() *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, copies := New(s.room), map[*inode]*inode{nil: nil}
	copied := func(i *inode) *inode {
		if _, ok := copies[i]; !ok {
			copies[i] = i.kill()
		}
		return copies[i]
	}
	for name, i := range s.names {
		out.names[name] = copied(i)
	}
	for name, i := range s.durable {
		out.durable[name] = copied(i)
	}
	for _, c := range s.journal {
		out.journal = append(out.journal, change{c.from, c.to, copied(c.inode)})
	}
	return out
}

func apply(names map[string]*inode, changes []change) {
	for _, c := range changes {
		delete(names, c.from)
		if c.inode != nil {
			names[c.to] = c.inode
		}
	}
}

// change applies c to the process's view.
func (s *FS) change(c change) {
	apply(s.names, []change{c})
	s.journal = append(s.journal, c)
}

// Create implements blockfs.FS.
func (s *FS) Create(name string, size int64) (blockfs.File, error) {
	if err := s.ask(Op{Kind: Create, Name: name, Len: int(size)}); err != nil {
		return nil, err
	}
	f, err := s.create(name, size)
	if err != nil {
		return nil, err
	}
	if err := s.ask(Op{Kind: Create, Name: name, Len: int(size), Applied: true}); err != nil {
		return nil, err
	}
	return f, nil
}

func (s *FS) create(name string, size int64) (blockfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.names[name]; ok {
		return nil, fmt.Errorf("create %s: it exists", name)
	}
	used := size
	for _, i := range s.names {
		used += i.size
	}
	if used > s.room {
		return nil, fmt.Errorf("create %s: %w", name, blockfs.ErrNoSpace)
	}
	i := newInode(content{bytes: make([]byte, size)})
	s.change(change{from: name, to: name, inode: i})
	return &file{fs: s, name: name, inode: i}, nil
}

// Open implements blockfs.FS.
func (s *FS) Open(name string) (blockfs.File, error) {
	if err := s.ask(Op{Kind: Open, Name: name}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.names[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, blockfs.ErrNotExist)
	}
	return &file{fs: s, name: name, inode: i}, nil
}

// List implements blockfs.FS.
func (s *FS) List() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.names))
	for name := range s.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Remove implements blockfs.FS.
func (s *FS) Remove(name string) error {
	return s.move(Op{Kind: Remove, Name: name}, func(*inode) change { return change{from: name} })
}

// Rename implements blockfs.FS.
func (s *FS) Rename(from, to string) error {
	return s.move(Op{Kind: Rename, Name: from}, func(i *inode) change { return change{from: from, to: to, inode: i} })
}

func (s *FS) move(op Op, f func(*inode) change) error {
	if err := s.ask(op); err != nil {
		return err
	}
	s.mu.Lock()
	i, ok := s.names[op.Name]
	if ok {
		s.change(f(i))
	}
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("%s %s: %w", op.Kind, op.Name, blockfs.ErrNotExist)
	}
	op.Applied = true
	return s.ask(op)
}

// SyncDir implements blockfs.FS.
func (s *FS) SyncDir() error {
	if err := s.ask(Op{Kind: SyncDir}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	apply(s.durable, s.journal)
	s.journal = nil
	return nil
}

// Damage lets f change part of a file, on disk and in view, like bit rot.
func (s *FS) Damage(name string, off int64, n int, f func([]byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.names[name]
	f(i.disk.own()[off:][:n])
	copy(i.data.own()[off:][:n], i.disk.bytes[off:])
}

// Truncate truncates a file, on disk and in view, like an interrupted copy.
func (s *FS) Truncate(name string, length int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.names[name]
	i.size = length
	i.disk.bytes, i.data.bytes = i.disk.own()[:length:length], i.data.own()[:length:length]
}
