package blockfs

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/blockfs/uring"
)

// ringWriter is the Writer of a Dir that supports O_DIRECT, durable writes in one
// call, and io_uring: no thread waits for a write.
//
// Beyond depth writes in flight, depth more may wait for a slot. Whoever
// completes a write starts the next, so that the disk does not wait for the
// submitter to be scheduled. A slot belongs to the goroutine that took it until
// its write has started, and to reap after that.
type ringWriter struct {
	dir    *Dir
	ring   *uring.Ring
	slots  []slot
	room   chan struct{} // writes in flight or waiting; Submit blocks when full
	reaper sync.WaitGroup

	mu      sync.Mutex
	free    []int // slots
	waiting []slot
}

// slot is one write.
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
	w := &ringWriter{dir: d, ring: ring, slots: make([]slot, depth), room: make(chan struct{}, 2*depth)}
	for i := range depth {
		w.free = append(w.free, i)
	}
	w.reaper.Go(func() { _ = w.ring.Wait(w.reap) }) // ends when the ring is closed
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
	w.room <- struct{}{}
	if i, ok := w.take(slot{Request: r, file: f, rest: p, off: r.Off}); ok {
		w.begin(i)
	}
}

// take puts s into a slot, or queues it.
func (w *ringWriter) take(s slot) (i int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) == 0 {
		w.waiting = append(w.waiting, s)
		return 0, false
	}
	i = w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	w.slots[i] = s
	return i, true
}

// next gives slot i to the longest waiting write, if there is one.
func (w *ringWriter) next(i int) (ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.slots[i] = slot{}
		w.free = append(w.free, i)
		return false
	}
	w.slots[i] = w.waiting[0]
	w.waiting = slices.Delete(w.waiting, 0, 1)
	return true
}

// begin writes the rest of slot i.
func (w *ringWriter) begin(i int) {
	s, flags := &w.slots[i], 0
	if s.Mode == Durable {
		flags = unix.RWF_DSYNC
	}
	if err := w.ring.Write(s.file.fd, s.rest, s.off, flags, uint64(i)); err != nil {
		w.finish(i, err)
	}
}

// reap continues a slot whose write has completed. It calls nothing that blocks.
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

// finish gives the slot to the next write, then reports the result of its own.
func (w *ringWriter) finish(i int, err error) {
	s := w.slots[i]
	if w.next(i) {
		w.begin(i)
	}
	<-w.room
	s.Done(s.file.dir.explain("write", s.file.name, err))
}

// Close implements Writer.
func (w *ringWriter) Close() {
	for range cap(w.room) {
		w.room <- struct{}{}
	}
	_ = w.ring.Close() // nothing is in flight, so nothing is lost
	w.reaper.Wait()
}

// Name implements Writer.
func (w *ringWriter) Name() string { return string(IOURing) }
