package faultfs

import (
	"fmt"
	"sync"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// file fails as the FS decides.
type file struct {
	blockfs.File
	fs *FS
}

// Close implements blockfs.File.
func (f *file) Close() error {
	f.fs.mu.Lock()
	delete(f.fs.names, f)
	f.fs.mu.Unlock()
	return f.File.Close()
}

// ReadAt implements blockfs.File.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.fs.do(Read, f.fs.nameOf(f), func() (err error) {
		n, err = f.File.ReadAt(p, off)
		return err
	})
	return n, err
}

// WriteAt implements blockfs.File.
func (f *file) WriteAt(p []byte, off int64, m blockfs.Mode) error {
	return f.write(f.fs.decide(Write, f.fs.nameOf(f)), p, off, m)
}

func (f *file) write(fault fault, p []byte, off int64, m blockfs.Mode) error {
	if fault.short {
		half := p[:len(p)/2/blockfs.BlockSize*blockfs.BlockSize]
		if err := f.File.WriteAt(half, off, blockfs.Volatile); err != nil {
			return err
		}
	}
	if fault.late {
		m = blockfs.Volatile // the way to the disk failed
	}
	return fault.around(func() error { return f.File.WriteAt(p, off, m) })
}

// Sync implements blockfs.File.
func (f *file) Sync() error {
	fault := f.fs.decide(Sync, f.fs.nameOf(f))
	if d, ok := f.File.(interface{ Drop() }); ok && fault.err != nil && !fault.late {
		d.Drop()
	}
	return fault.around(f.File.Sync)
}

// writer wraps the Writer of the inner FS and decides each write's fault first.
type writer struct {
	blockfs.Writer
	fs    *FS
	under sync.WaitGroup // writes unknown to the inner writer
}

// NewWriter uses the inner FS's Writer.
func (s *FS) NewWriter(depth int) (blockfs.Writer, error) {
	w, err := blockfs.NewWriter(s.inner, depth)
	if err != nil {
		return nil, err
	}
	return &writer{Writer: w, fs: s}, nil
}

// Submit implements blockfs.Writer. Writes with a fault do not count against the
// depth.
func (w *writer) Submit(r blockfs.Request) {
	f, ok := r.File.(*file)
	if !ok || f.fs != w.fs {
		r.Done(fmt.Errorf("write a file of another file system"))
		return
	}
	fault := w.fs.decide(Write, w.fs.nameOf(f))
	if fault.err == nil && fault.slow == 0 {
		r.File = f.File
		w.Writer.Submit(r)
		return
	}
	w.under.Go(func() { r.Done(f.write(fault, r.Buffer.Bytes(), r.Off, r.Mode)) })
}

// Close implements blockfs.Writer.
func (w *writer) Close() {
	w.under.Wait()
	w.Writer.Close()
}
