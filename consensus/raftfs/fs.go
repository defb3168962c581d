package raftfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lni/vfs"
)

// FS is a disk with a latch and, if Reserve is not nil, a reserve.
type FS struct {
	Disk    vfs.FS
	Latch   *Latch
	Reserve *Reserve
}

var _ vfs.FS = FS{}

// change performs an operation that changes something, unless one has failed before. On a full
// disk it retries with space from the reserve.
func (f FS) change(op, path string, do func() error) error {
	if err := f.Latch.check(); err != nil {
		return err
	}
	err := do()
	for noRoom(err) && f.Reserve.give() {
		err = do()
	}
	return f.Latch.done(op, path, err)
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (f FS) opened(op, path string, file vfs.File, err error) (vfs.File, error) {
	if err := f.Latch.done(op, path, err); err != nil {
		return nil, err
	}
	return &latched{File: file, fs: f, path: path}, nil
}

// Create creates a file, on a full disk from the reserve.
func (f FS) Create(name string) (vfs.File, error) {
	if err := f.Latch.check(); err != nil {
		return nil, err
	}
	file, err := f.Disk.Create(name)
	for noRoom(err) {
		if f.Reserve.rename(name) {
			file, err = f.reopen(name)
			break
		}
		if !f.Reserve.give() {
			break
		}
		file, err = f.Disk.Create(name)
	}
	created, err := f.opened("create", name, file, err)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(name) == ".log" {
		created.(*latched).preallocate()
	}
	return created, nil
}

// reopen opens a file without freeing the blocks beyond its end, unlike Create.
func (f FS) reopen(name string) (vfs.File, error) { return os.OpenFile(name, os.O_RDWR, 0) }

// Open opens a file for reading.
func (f FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.Disk.Open(name, opts...)
	return f.opened("open", name, file, err)
}

// OpenDir opens a directory, for syncing.
func (f FS) OpenDir(name string) (vfs.File, error) {
	file, err := f.Disk.OpenDir(name)
	return f.opened("open", name, file, err)
}

// OpenForAppend opens a file for appending.
func (f FS) OpenForAppend(name string) (vfs.File, error) {
	file, err := f.Disk.OpenForAppend(name)
	return f.opened("open", name, file, err)
}

// ReuseForWrite renames a file and opens it.
func (f FS) ReuseForWrite(from, to string) (vfs.File, error) {
	if err := f.Latch.check(); err != nil {
		return nil, err
	}
	file, err := f.Disk.ReuseForWrite(from, to)
	return f.opened("rename", from, file, err)
}

// Link creates a hard link.
func (f FS) Link(from, to string) error {
	return f.change("link", from, func() error { return f.Disk.Link(from, to) })
}

// Remove removes a file or an empty directory.
func (f FS) Remove(name string) error {
	return f.change("remove", name, func() error { return f.Disk.Remove(name) })
}

// RemoveAll removes a file or directory tree. It returns no error, since tan would panic on
// one, on a goroutine that runs before Block is called: the next operation fails instead, and
// the rest is removed at the next start.
func (f FS) RemoveAll(name string) error {
	_ = f.change("remove", name, func() error { return f.Disk.RemoveAll(name) }) // recorded in the latch
	return nil
}

// Rename moves a file.
func (f FS) Rename(from, to string) error {
	return f.change("rename", from, func() error { return f.Disk.Rename(from, to) })
}

// MkdirAll creates a directory and its parents.
func (f FS) MkdirAll(dir string, perm os.FileMode) error {
	return f.change("make directory", dir, func() error { return f.Disk.MkdirAll(dir, perm) })
}

// Lock locks a file for this process. A lock held by another process is not a disk failure.
func (f FS) Lock(name string) (io.Closer, error) {
	var lock io.Closer
	err := f.Latch.check()
	if err == nil {
		lock, err = f.Disk.Lock(name)
	}
	for noRoom(err) && f.Reserve.give() {
		lock, err = f.Disk.Lock(name)
	}
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return nil, err
	}
	return lock, f.Latch.done("lock", name, err)
}

// List returns the names in a directory.
func (f FS) List(dir string) ([]string, error) {
	names, err := f.Disk.List(dir)
	return names, f.Latch.done("list", dir, err)
}

// Stat describes a file.
func (f FS) Stat(name string) (fs.FileInfo, error) {
	info, err := f.Disk.Stat(name)
	return info, f.Latch.done("stat", name, err)
}

// GetDiskUsage returns how full the disk is.
func (f FS) GetDiskUsage(path string) (vfs.DiskUsage, error) { return f.Disk.GetDiskUsage(path) }

// PathBase, PathJoin and PathDir behave like those of package filepath.
func (f FS) PathBase(path string) string    { return f.Disk.PathBase(path) }
func (f FS) PathJoin(elem ...string) string { return f.Disk.PathJoin(elem...) }
func (f FS) PathDir(path string) string     { return f.Disk.PathDir(path) }

// latched is an open file. It is not an *os.File, so tan does not preallocate 64 MiB for each
// log.
type latched struct {
	vfs.File
	fs    FS
	path  string
	ahead int64 // of a log: end of its allocated blocks
	size  int64 // of a log: bytes written
}

// aheadBytes is how far a log is preallocated, so that it can grow for a while when others have
// filled the disk.
const aheadBytes = 64 << 10

func (l *latched) preallocate() {
	fd, ok := l.File.(interface{ Fd() uintptr })
	if ok && allocate(fd.Fd(), l.ahead, aheadBytes) == nil {
		l.ahead += aheadBytes
	}
}

// Write continues a short write on a full disk with space from the reserve.
func (l *latched) Write(b []byte) (int, error) {
	if err := l.fs.Latch.check(); err != nil {
		return 0, err
	}
	n, err := l.File.Write(b)
	for noRoom(err) && l.fs.Reserve.give() {
		var more int
		more, err = l.File.Write(b[n:])
		n += more
	}
	l.size += int64(n)
	if l.ahead > 0 && l.size+aheadBytes/2 > l.ahead {
		l.preallocate()
	}
	return n, l.fs.Latch.done("write", l.path, err)
}

func (l *latched) WriteAt(b []byte, at int64) (n int, err error) {
	err = l.fs.change("write", l.path, func() error {
		n, err = l.File.WriteAt(b, at)
		return err
	})
	return n, err
}

func (l *latched) Sync() error {
	if err := l.fs.Latch.check(); err != nil {
		return err
	}
	return l.fs.Latch.done("sync", l.path, l.File.Sync())
}

func (l *latched) Read(b []byte) (int, error) {
	n, err := l.File.Read(b)
	return n, l.fs.Latch.done("read", l.path, err)
}

func (l *latched) ReadAt(b []byte, at int64) (int, error) {
	n, err := l.File.ReadAt(b, at)
	return n, l.fs.Latch.done("read", l.path, err)
}

// Close frees the blocks that a log did not use.
func (l *latched) Close() error {
	if f, ok := l.File.(*os.File); ok && l.ahead > l.size {
		_ = f.Truncate(l.size) // fails if the log was removed
	}
	return l.fs.Latch.done("close", l.path, l.File.Close())
}
