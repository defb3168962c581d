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

// ringWriter is the Writer of a Dir that has O_DIRECT, one call that writes
// durably, and io_uring: no thread waits for a write.
//
// As many writes again as the depth may wait for a slot. They are begun by
// whoever ends another, so that the disk does not wait for the one who submits
// to be scheduled. A slot belongs to the one that took it until its write has
// begun, and to reap from then on.
type ringWriter struct {
	dir    *Dir
	ring   *uring.Ring
	slots  []slot
	room   chan struct{} // what is under way or waits; full holds Submit back
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
	w.room <- struct{}{}
	if i, ok := w.take(slot{Request: r, file: f, rest: p, off: r.Off}); ok {
		w.begin(i)
	}
}

// take puts s into a slot, or has it wait for one.
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

// next gives slot i to the one that waits longest, if there is one.
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

// finish gives the slot to the next, then tells how its write ended.
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
	_ = w.ring.Close() // nothing is under way and nothing is lost
	w.reaper.Wait()
}

// Name implements Writer.
func (w *ringWriter) Name() string { return string(IOURing) }
