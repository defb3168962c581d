package consensus_test

import (
	"os"
	"sync/atomic"
	"syscall"

	"github.com/lni/vfs"
)

// faulty is a disk on which one operation fails, counted from 1 among those that change
// something, or among reads.
type faulty struct {
	vfs.FS
	reads bool  // count reads
	stays bool  // all later operations of the kind fail too
	at    int64 // 0: never
	errno syscall.Errno
	count *atomic.Int64
}

func (f faulty) fault(read bool) error {
	if read != f.reads {
		return nil
	}
	n := f.count.Add(1)
	if f.at != 0 && (n == f.at || f.stays && n > f.at) {
		return f.errno
	}
	return nil
}

func (f faulty) file(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

func (f faulty) Create(name string) (vfs.File, error) {
	if err := f.fault(false); err != nil {
		return nil, err
	}
	return f.file(f.FS.Create(name))
}

func (f faulty) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := f.fault(true); err != nil {
		return nil, err
	}
	return f.file(f.FS.Open(name, opts...))
}

func (f faulty) OpenDir(name string) (vfs.File, error) {
	if err := f.fault(true); err != nil {
		return nil, err
	}
	return f.file(f.FS.OpenDir(name))
}

func (f faulty) Remove(name string) error {
	if err := f.fault(false); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f faulty) RemoveAll(name string) error {
	if err := f.fault(false); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

func (f faulty) Rename(from, to string) error {
	if err := f.fault(false); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f faulty) MkdirAll(dir string, perm os.FileMode) error {
	if err := f.fault(false); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir, perm)
}

func (f faulty) List(dir string) ([]string, error) {
	if err := f.fault(true); err != nil {
		return nil, err
	}
	return f.FS.List(dir)
}

func (f faulty) Stat(name string) (os.FileInfo, error) {
	if err := f.fault(true); err != nil {
		return nil, err
	}
	return f.FS.Stat(name)
}

type faultyFile struct {
	vfs.File
	fs faulty
}

// Write writes half of b before it fails, as on a full disk.
func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.fs.fault(false); err != nil {
		n, _ := f.File.Write(b[:len(b)/2]) // the fault is what matters
		return n, err
	}
	return f.File.Write(b)
}

func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.fs.fault(false); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.fault(false); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Read(b []byte) (int, error) {
	if err := f.fs.fault(true); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

func (f *faultyFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.fs.fault(true); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}
