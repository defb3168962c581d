package raftfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lni/vfs"
)

// errReadOnly is returned by operations that the log store is not known to use.
var errReadOnly = errors.New("not supported by an overlay")

// Overlay shows the files of a disk and keeps changes in memory.
type Overlay struct {
	vfs.FS // the disk, only read
	memory *vfs.MemFS

	mu   sync.Mutex      // tan removes files on its own goroutine
	gone map[string]bool // paths of the disk that were removed
}

// NewOverlay returns an overlay on a disk.
func NewOverlay(disk vfs.FS) *Overlay {
	return &Overlay{FS: disk, memory: vfs.NewMem(), gone: make(map[string]bool)}
}

// Replace replaces the content of a file by b.
func (o *Overlay) Replace(name string, b []byte) error {
	f, err := o.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func (o *Overlay) inMemory(name string) bool {
	_, err := o.memory.Stat(name)
	return err == nil
}

func (o *Overlay) onDisk(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path := filepath.Clean(name); ; path = filepath.Dir(path) {
		if o.gone[path] {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}

func missing(op, name string) error { return &os.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// Create creates a file in memory.
func (o *Overlay) Create(name string) (vfs.File, error) {
	if err := o.memory.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return o.memory.Create(name)
}

// Open opens a file for reading.
func (o *Overlay) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	info, err := o.memory.Stat(name)
	switch {
	case err == nil && !info.IsDir():
		return o.memory.Open(name, opts...)
	case o.onDisk(name):
		f, err := o.FS.Open(name, opts...)
		if err == nil {
			return unsynced{f}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || !o.inMemory(name) {
			return nil, err
		}
	}
	if o.inMemory(name) {
		return o.memory.OpenDir(name)
	}
	return nil, missing("open", name)
}

// OpenDir opens a directory; syncing it does nothing.
func (o *Overlay) OpenDir(name string) (vfs.File, error) { return o.Open(name) }

// Remove hides a file.
func (o *Overlay) Remove(name string) error {
	if _, err := o.Stat(name); err != nil {
		return err
	}
	return o.RemoveAll(name)
}

// RemoveAll hides a file or directory.
func (o *Overlay) RemoveAll(name string) error {
	o.mu.Lock()
	o.gone[filepath.Clean(name)] = true
	o.mu.Unlock()
	if !o.inMemory(name) {
		return nil
	}
	return o.memory.RemoveAll(name)
}

// Rename moves a file that was created in memory.
func (o *Overlay) Rename(from, to string) error {
	if !o.inMemory(from) {
		return errReadOnly
	}
	if err := o.memory.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return o.memory.Rename(from, to)
}

// Stat describes a file or directory.
func (o *Overlay) Stat(name string) (os.FileInfo, error) {
	if info, err := o.memory.Stat(name); err == nil {
		return info, nil
	}
	if !o.onDisk(name) {
		return nil, missing("stat", name)
	}
	return o.FS.Stat(name)
}

// List returns the names in a directory, merged from memory and disk.
func (o *Overlay) List(dir string) (names []string, err error) {
	if o.inMemory(dir) {
		if names, err = o.memory.List(dir); err != nil {
			return nil, err
		}
	}
	if !o.onDisk(dir) {
		return names, nil
	}
	disk, err := o.FS.List(dir)
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && o.inMemory(dir)) {
		return nil, err
	}
	for _, name := range disk {
		if o.onDisk(filepath.Join(dir, name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// MkdirAll creates a directory in memory.
func (o *Overlay) MkdirAll(dir string, perm os.FileMode) error { return o.memory.MkdirAll(dir, perm) }

// Lock does nothing, since no other process sees the changes.
func (o *Overlay) Lock(string) (io.Closer, error) { return io.NopCloser(strings.NewReader("")), nil }

// Link, OpenForAppend and ReuseForWrite are not supported.
func (o *Overlay) Link(_, _ string) error                      { return errReadOnly }
func (o *Overlay) OpenForAppend(string) (vfs.File, error)      { return nil, errReadOnly }
func (o *Overlay) ReuseForWrite(_, _ string) (vfs.File, error) { return nil, errReadOnly }

// unsynced is a read-only file of the disk.
type unsynced struct{ vfs.File }

func (unsynced) Write([]byte) (int, error)          { return 0, errReadOnly }
func (unsynced) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }
func (unsynced) Sync() error                        { return nil }
