package blockfs

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/blockfs/uring"
)

// ringWriter is the Writer of a Dir that has O_DIRECT, one call that writes
// durably, and io_uring: no thread waits for a write.
//
// A slot belongs to Submit from the moment it leaves free until its write has
// begun, and to reap from then until it is back.
type ringWriter struct {
	dir    *Dir
	ring   *uring.Ring
	slots  []slot
	free   chan int // of slots; an empty one holds Submit back
	reaper sync.WaitGroup
}

// slot is one write under way.
type slot struct {
	Request
	file *file
	rest []byte // not yet written
	off  int64
}

func newRingWriter(d *Dir, depth int) (Writer, error) {
	ring, err := uring.New(depth)
	if err != nil {
		return nil, err
	}
	w := &ringWriter{dir: d, ring: ring, slots: make([]slot, depth), free: make(chan int, depth)}
	for i := range depth {
		w.free <- i
	}
	w.reaper.Go(func() { _ = w.ring.Wait(w.reap) }) // ends with the ring
	return w, nil
}

// Submit implements Writer.
func (w *ringWriter) Submit(r Request) {
	f, ok := r.File.(*file)
	if !ok || f.dir != w.dir {
		r.Done(fmt.Errorf("write a file that is not of %s: %w", w.dir.path, errors.ErrUnsupported))
		return
	}
	p := r.Buffer.Bytes()
	if err := f.checkWrite(p, r.Off); err != nil {
		r.Done(err)
		return
	}
	i := <-w.free
	w.slots[i] = slot{Request: r, file: f, rest: p, off: r.Off}
	w.begin(i)
}

// begin writes what is left of slot i.
func (w *ringWriter) begin(i int) {
	s, flags := &w.slots[i], 0
	if s.Mode == Durable {
		flags = unix.RWF_DSYNC
	}
	if err := w.ring.Write(s.file.fd, s.rest, s.off, flags, uint64(i)); err != nil {
		w.finish(i, err)
	}
}

// reap goes on with a slot whose write has ended. What it calls does not block.
func (w *ringWriter) reap(tag uint64, res int) {
	i := int(tag)
	s := &w.slots[i]
	if errno := syscall.Errno(-res); res < 0 && errno != unix.EINTR {
		w.finish(i, errno)
		return
	}
	if res == 0 {
		w.finish(i, io.ErrShortWrite)
		return
	}
	written := max(res, 0)
	s.rest, s.off = s.rest[written:], s.off+int64(written)
	switch {
	case len(s.rest) == 0:
		w.finish(i, nil)
	case !IsAligned(s.rest):
		w.finish(i, io.ErrShortWrite)
	default:
		w.begin(i)
	}
}

// finish gives the slot back, then tells, so that who is told can submit.
func (w *ringWriter) finish(i int, err error) {
	s := w.slots[i]
	w.slots[i] = slot{}
	w.free <- i
	s.Done(s.file.dir.explain("write", s.file.name, err))
}

// Close implements Writer.
func (w *ringWriter) Close() {
	for range w.slots {
		<-w.free
	}
	_ = w.ring.Close() // nothing is under way and nothing is lost
	w.reaper.Wait()
}

// Name implements Writer.
func (w *ringWriter) Name() string { return string(IOURing) }
