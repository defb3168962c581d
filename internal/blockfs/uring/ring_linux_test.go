package uring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func temp(t testing.TB, size int64, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_CREATE|os.O_RDWR|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	zeroes := pages(t, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeroes)) {
		if _, err := f.WriteAt(zeroes, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return f
}

func pages(t testing.TB, size int) []byte {
	t.Helper()
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(m) })
	return m
}

func newRing(t testing.TB, entries int) *Ring {
	t.Helper()
	r, err := New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestManySubmitters fills the ring many times over from several goroutines, so that
// both queues wrap: each write completes once, with its own tag and result.
func TestManySubmitters(t *testing.T) {
	const entries, rounds, piece = 6, 2000, 512
	f, r := temp(t, 1<<20, 0), newRing(t, entries)
	data := make([]byte, entries*piece)
	for i := range data {
		data[i] = byte(i/piece + 1)
	}
	var done [entries]chan int
	for i := range done {
		done[i] = make(chan int, 1)
	}
	var waiter, submitters sync.WaitGroup
	waiter.Go(func() {
		if err := r.Wait(func(tag uint64, res int) { done[tag] <- res }); err == nil {
			t.Error("Wait returned before Close")
		}
	})
	for i := range entries {
		submitters.Go(func() {
			for round := range rounds {
				n := 1 + (round+i)%piece
				if err := r.Write(int(f.Fd()), data[i*piece:][:n], int64(i*piece), 0, uint64(i)); err != nil {
					t.Error(err)
					return
				}
				if got := <-done[i]; got != n {
					t.Errorf("wrote %d bytes, %d were written", n, got)
				}
			}
		})
	}
	submitters.Wait()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	waiter.Wait()
	got := make([]byte, len(data))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
		t.Error("read differs from what was written", err)
	}
}

func TestResultsAreErrorNumbers(t *testing.T) {
	r := newRing(t, 1)
	results := make(chan int, 1)
	var waiter sync.WaitGroup
	waiter.Go(func() { _ = r.Wait(func(_ uint64, res int) { results <- res }) })
	if err := r.Write(-1, []byte{1}, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if got := <-results; got != -int(syscall.EBADF) {
		t.Errorf("%d", got)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	waiter.Wait()
}

func TestNew(t *testing.T) {
	if _, err := New(1 << 20); err == nil {
		t.Error("a ring of a million entries was created")
	}
	before := descriptors(t)
	for range 100 {
		if err := newRing(t, 8).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// BenchmarkRing compares the throughput with the runtime's poller to that with a
// dedicated thread that waits in the kernel.
func BenchmarkRing(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
		for _, depth := range []int{1, 8} {
			b.Run(fmt.Sprintf("%dKiB/depth-%d/thread", size>>10, depth), func(b *testing.B) { benchmark(b, size, depth, byThread) })
			b.Run(fmt.Sprintf("%dKiB/depth-%d/poller", size>>10, depth), func(b *testing.B) { benchmark(b, size, depth, byPoller) })
		}
	}
}

// load is the write load of a benchmark.
type load struct {
	*testing.B
	ring    *Ring
	begin   func(slot int)
	depth   int
	started int
	ended   int
}

const fileSize = 64 << 20

func benchmark(b *testing.B, size, depth int, run func(*load)) {
	f, memory := temp(b, fileSize, unix.O_DIRECT), pages(b, size*depth)
	l := &load{B: b, ring: newRing(b, depth), depth: depth}
	l.begin = func(slot int) {
		if l.started == b.N {
			return
		}
		off := int64(l.started*size) % fileSize
		l.started++
		if err := l.ring.Write(int(f.Fd()), memory[slot*size:][:size], off, unix.RWF_DSYNC, uint64(slot)); err != nil {
			b.Error(err)
		}
	}
	b.SetBytes(int64(size))
	b.ResetTimer()
	run(l)
}

// again counts a completion and reuses its slot.
func (l *load) again(tag uint64, res int) {
	if res <= 0 {
		l.Errorf("write: %v", syscall.Errno(-res))
	}
	l.ended++
	l.begin(int(tag))
}

func byThread(l *load) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for slot := range l.depth {
		l.begin(slot)
	}
	for l.ended < l.started {
		if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(l.ring.fd), 0, 1, 1, 0, 0); errno != 0 && errno != unix.EINTR {
			l.Fatal(errno)
		}
		for l.ring.reap(l.again) {
		}
	}
	l.StopTimer()
	if err := l.ring.Close(); err != nil {
		l.Error(err)
	}
}

func byPoller(l *load) {
	all := make(chan struct{})
	for slot := range l.depth {
		l.begin(slot)
	}
	go func() {
		_ = l.ring.Wait(func(tag uint64, res int) {
			l.again(tag, res)
			if l.ended == l.N {
				close(all)
			}
		})
	}()
	<-all
	l.StopTimer()
	if err := l.ring.Close(); err != nil {
		l.Error(err)
	}
}
