package uring

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring is one io_uring. Submissions may come from any goroutine; one at a time
// waits for completions. No more writes may be in flight than the ring was made
// for, so neither queue is ever full.
type Ring struct {
	fd     int
	events *os.File // an eventfd in the runtime's poller
	poll   syscall.RawConn
	rings  []byte // both queues' heads and tails, and the completions
	slots  []byte // the submissions

	// submitted orders what came before a submission before its completion, in Go's
	// memory model, which does not know about the kernel.
	submitted atomic.Uint64

	mu     sync.Mutex // of the submission queue
	sqHead *atomic.Uint32
	sqTail *atomic.Uint32
	sqMask uint32
	sqes   []submission

	cqHead *atomic.Uint32
	cqTail *atomic.Uint32
	cqMask uint32
	cqes   []completion
}

// errOld: a required feature is missing.
var errOld = fmt.Errorf("%w: the kernel's io_uring is older than that of Linux 5.6", errors.ErrUnsupported)

// New creates a ring for entries submissions in flight.
func New(entries int) (*Ring, error) {
	var p params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	unix.CloseOnExec(int(fd)) // the default since Linux 5.12
	r := &Ring{fd: int(fd)}
	if err := r.open(&p); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Ring) open(p *params) error {
	if p.features&featSingleMap == 0 || p.features&featNoDrop == 0 {
		return errOld
	}
	if err := r.mapQueues(p); err != nil {
		return fmt.Errorf("map io_uring: %w", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	r.events = os.NewFile(uintptr(event), "eventfd")
	if r.poll, err = r.events.SyscallConn(); err != nil {
		return err
	}
	if err := r.events.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("poll an eventfd: %w", err) // Wait would not work
	}
	number := int32(event)
	return r.register(registerEventFD, unsafe.Pointer(&number), 1)
}

func (r *Ring) register(what uintptr, arg unsafe.Pointer, n int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), what, uintptr(arg), uintptr(n), 0, 0); errno != 0 {
		return fmt.Errorf("io_uring_register: %w", errno)
	}
	return nil
}

// mapQueues maps the queues, which are in memory shared with the kernel.
func (r *Ring) mapQueues(p *params) (err error) {
	size := max(int(p.sq.array)+int(p.sqEntries)*4, int(p.cq.cqes)+int(p.cqEntries)*int(unsafe.Sizeof(completion{})))
	const access, kind = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.rings, err = unix.Mmap(r.fd, offRings, size, access, kind); err != nil {
		return err
	}
	if r.slots, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(submission{})), access, kind); err != nil {
		return err
	}
	r.sqHead, r.sqTail = r.word(p.sq.head), r.word(p.sq.tail)
	r.cqHead, r.cqTail = r.word(p.cq.head), r.word(p.cq.tail)
	r.sqMask, r.cqMask = r.word(p.sq.mask).Load(), r.word(p.cq.mask).Load()
	r.sqes = unsafe.Slice((*submission)(unsafe.Pointer(&r.slots[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*completion)(unsafe.Pointer(&r.rings[p.cq.cqes])), p.cqEntries)
	order := unsafe.Slice((*uint32)(unsafe.Pointer(&r.rings[p.sq.array])), p.sqEntries)
	for i := range order {
		order[i] = uint32(i) // slots are used in order
	}
	return nil
}

func (r *Ring) word(off uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.rings[off]))
}

// Write submits a write of p, with the RWF flags of pwritev2(2). Wait reports its
// result by tag, unless Write returns an error: then nothing was started.
func (r *Ring) Write(fd int, p []byte, off int64, flags int, tag uint64) error {
	return r.submit(submission{opcode: opWrite, fd: int32(fd), off: uint64(off), length: uint32(len(p)),
		addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), rw: uint32(flags), tag: tag})
}

func (r *Ring) submit(s submission) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	tail := r.sqTail.Load()
	r.sqes[tail&r.sqMask] = s
	r.submitted.Add(1)
	r.sqTail.Store(tail + 1)
	for tries := 0; r.sqHead.Load() != tail+1; {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 0, 0, 0, 0)
		if errno == unix.EAGAIN { // out of memory for now; nothing was started
			if tries++; tries < 10_000 {
				time.Sleep(100 * time.Microsecond)
				continue
			}
		}
		if errno != 0 && errno != unix.EINTR && r.sqHead.Load() != tail+1 {
			r.sqTail.Store(tail) // the kernel reads it only in enter
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
	}
	return nil
}

// Wait calls f for every completion, in order of arrival, with the result of the
// system call: bytes, or a negative error number. It returns when the ring is
// closed, with the error that says so.
func (r *Ring) Wait(f func(tag uint64, res int)) error {
	return r.poll.Read(func(uintptr) (done bool) {
		// The poller reports every completion since the last check although nobody
		// reads the eventfd: it is edge-triggered.
		for r.reap(f) {
		}
		return false
	})
}

// reap calls f for one completion, if there is one.
func (r *Ring) reap(f func(tag uint64, res int)) bool {
	head := r.cqHead.Load()
	if head == r.cqTail.Load() {
		return false
	}
	c := r.cqes[head&r.cqMask]
	r.cqHead.Store(head + 1)
	r.submitted.Load()
	f(c.tag, int(c.res))
	return true
}

// Close releases the ring, and returns when Wait has. Nothing may be in flight.
func (r *Ring) Close() error {
	var errs []error
	if r.events != nil {
		errs = append(errs, r.events.Close()) // waits for its users
	}
	for _, mem := range [][]byte{r.rings, r.slots} {
		if mem != nil {
			errs = append(errs, unix.Munmap(mem))
		}
	}
	errs = append(errs, unix.Close(r.fd))
	return errors.Join(errs...)
}
