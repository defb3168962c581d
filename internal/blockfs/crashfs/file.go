package crashfs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// sectorSize is the unit that a disk writes atomically.
const sectorSize = 512

// inode is the content of a file, whatever its names. Crashes are frequent and
// change little, so memory is shared between them and copied on write.
type inode struct {
	size  int64
	data  content            // as the process sees it
	disk  content            // what is guaranteed to survive
	dirty map[int64]struct{} // sectors whose data may reach the disk
}

// content is memory that may be shared.
type content struct {
	bytes  []byte
	shared bool
}

// own returns the bytes for writing.
func (c *content) own() []byte {
	if c.shared {
		c.bytes, c.shared = slices.Clone(c.bytes), false
	}
	return c.bytes
}

// share returns c for sharing.
func (c *content) share() content {
	c.shared = true
	return *c
}

// newInode returns a file that is on disk, except for its name.
func newInode(disk content) *inode {
	return &inode{size: int64(len(disk.bytes)), data: disk.share(), disk: disk.share(), dirty: map[int64]struct{}{}}
}

func (i *inode) write(p []byte, off int64) {
	copy(i.data.own()[off:], p)
	for at := off / sectorSize; at*sectorSize < off+int64(len(p)); at++ {
		i.dirty[at] = struct{}{}
	}
}

// persist writes the dirty sectors of a range to disk.
func (i *inode) persist(off, n int64) {
	for at := range i.dirty {
		if start := at * sectorSize; start < off+n && start+sectorSize > off {
			copy(i.disk.own()[start:start+sectorSize], i.data.bytes[start:])
			delete(i.dirty, at)
		}
	}
}

// forget is the effect of a failed sync on dirty pages: they are marked clean and
// lost.
func (i *inode) forget() { clear(i.dirty) }

func (i *inode) crash(k Keep, r *rand.Rand) *inode {
	disk := i.disk.share()
	dirty := make([]int64, 0, len(i.dirty))
	for at := range i.dirty {
		dirty = append(dirty, at)
	}
	slices.Sort(dirty)
	for _, at := range dirty {
		if k == Everything || k == Random && r.IntN(2) == 0 {
			start := at * sectorSize
			copy(disk.own()[start:start+sectorSize], i.data.bytes[start:])
		}
	}
	return newInode(disk)
}

func (i *inode) kill() *inode {
	return &inode{size: i.size, data: i.data.share(), disk: i.disk.share(), dirty: maps.Clone(i.dirty)}
}

// file is an open inode.
type file struct {
	fs    *FS
	name  string
	inode *inode
}

// Size implements blockfs.File.
func (f *file) Size() int64 { return f.inode.size }

// Close implements blockfs.File.
func (f *file) Close() error { return nil }

// ReadAt implements blockfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.ask(Op{Kind: Read, Name: f.name, Off: off, Len: len(p)}); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= f.inode.size {
		return 0, io.EOF
	}
	n := copy(p, f.inode.data.bytes[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements blockfs.File.
func (f *file) WriteAt(p []byte, off int64, m blockfs.Mode) error {
	if off%blockfs.BlockSize != 0 || !blockfs.IsAligned(p) || off+int64(len(p)) > f.inode.size {
		return fmt.Errorf("write %d bytes at %d of %s: %w", len(p), off, f.name, blockfs.ErrMisaligned)
	}
	op := Op{Kind: Write, Name: f.name, Off: off, Len: len(p)}
	if err := f.fs.ask(op); errors.Is(err, ErrShort) {
		f.apply(p[:len(p)/2/sectorSize*sectorSize], off)
		return fmt.Errorf("%w: %w", err, io.ErrShortWrite)
	} else if err != nil {
		return err
	}
	f.apply(p, off)
	op.Applied = true
	if err := f.fs.ask(op); err != nil {
		return err
	}
	if m == blockfs.Durable {
		f.fs.mu.Lock()
		defer f.fs.mu.Unlock()
		f.inode.persist(off, int64(len(p)))
	}
	return nil
}

func (f *file) apply(p []byte, off int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.inode.write(p, off)
}

// Drop has the effect of a failed sync on this file, for syncs that fail in
// another layer.
func (f *file) Drop() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.inode.forget()
}

// Sync implements blockfs.File. A failed sync loses the data it was to write.
func (f *file) Sync() error {
	err := f.fs.ask(Op{Kind: Sync, Name: f.name})
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err != nil {
		f.inode.forget()
		return err
	}
	f.inode.persist(0, f.inode.size)
	return nil
}
