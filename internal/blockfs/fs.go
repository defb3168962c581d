package blockfs

import (
	"errors"
	"io/fs"
)

// BlockSize is the unit of alignment: offsets, lengths and memory of writes are
// multiples of it. It is the largest logical block size in common use.
const BlockSize = 4096

// AlignUp returns n rounded up to whole blocks.
func AlignUp(n int64) int64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

var (
	// ErrLocked: another process uses the directory.
	ErrLocked = errors.New("directory is in use by another process")
	// ErrNoSpace: the disk is full, or would have less free than required.
	ErrNoSpace = errors.New("not enough disk space")
	// ErrReadOnly: the directory cannot be written.
	ErrReadOnly = errors.New("directory is read-only")
	// ErrNotExist: no file has that name.
	ErrNotExist = fs.ErrNotExist
	// ErrMisaligned: a write does not consist of whole blocks.
	ErrMisaligned = errors.New("write is not block-aligned")
)

// Mode says what a completed write means.
type Mode uint8

const (
	// Volatile writes survive a power loss only after a Sync.
	Volatile Mode = iota
	// Durable writes survive a power loss once they have returned.
	Durable
)

// FS is a flat directory of files. Implementations are safe for concurrent use;
// names have no separators.
type FS interface {
	// Create creates a file of size bytes, fully allocated, that reads as zeroes. It
	// fails with ErrNoSpace if there is no space, and leaves nothing behind then.
	// The file must not exist.
	Create(name string, size int64) (File, error)
	// Open opens a file for reading and writing.
	Open(name string) (File, error)
	// List returns the names of all files, sorted.
	List() ([]string, error)
	Remove(name string) error
	// Rename moves a file, open or not, replacing any file of the new name.
	Rename(from, to string) error
	// SyncDir makes all creations, removals and renames so far durable.
	SyncDir() error
}

// File is one file. All methods but Close may be called concurrently.
type File interface {
	// ReadAt is io.ReaderAt's, with any alignment.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes p, whole blocks in aligned memory at an aligned offset,
	// completely or fails. It never extends the file.
	WriteAt(p []byte, off int64, m Mode) error
	// Sync makes all writes that have returned durable.
	Sync() error
	Size() int64
	Close() error
}
