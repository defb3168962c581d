package blockfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidden is a system call that a seccomp filter refuses if any of Bits is set in
// argument Arg.
type forbidden struct {
	Call  uint32
	Arg   uint32
	Bits  uint32 // 0: always
	Errno uint32
}

// refusals lists what kernels, file systems and container runtimes are known to
// refuse, and the engine and access expected then.
var refusals = map[string]struct {
	Forbidden []forbidden
	Engine    Engine
	Access    string
	Why       string
}{
	"nothing":            {nil, IOURing, "direct+dsync", "fastest"},
	"io_uring":           {[]forbidden{{unix.SYS_IO_URING_SETUP, 0, 0, uint32(unix.EPERM)}}, Pwrite, "direct+dsync", "not permitted"},
	"io_uring is absent": {[]forbidden{{unix.SYS_IO_URING_SETUP, 0, 0, uint32(unix.ENOSYS)}}, Pwrite, "direct+dsync", "not implemented"},
	"io_uring is half there": {[]forbidden{{unix.SYS_IO_URING_ENTER, 0, 0, uint32(unix.EPERM)}}, Pwrite, "direct+dsync",
		"not permitted"},
	"O_DIRECT":  {[]forbidden{{unix.SYS_OPENAT, 2, unix.O_DIRECT, uint32(unix.EINVAL)}}, Buffered, "buffered+dsync", "O_DIRECT"},
	"RWF_DSYNC": {[]forbidden{{unix.SYS_PWRITEV2, 5, unix.RWF_DSYNC, uint32(unix.EOPNOTSUPP)}}, Pwrite, "direct+fdatasync", "RWF_DSYNC"},
	"both": {[]forbidden{{unix.SYS_OPENAT, 2, unix.O_DIRECT, uint32(unix.EINVAL)},
		{unix.SYS_PWRITEV2, 5, unix.RWF_DSYNC, uint32(unix.EOPNOTSUPP)}}, Buffered, "buffered+fdatasync", "O_DIRECT"},
}

// refusalVariable passes the name of a refusal to the child process.
const refusalVariable = "BLOCKFS_TEST_REFUSAL"

// TestRefusals makes the kernel refuse system calls, each set in its own process since that
// cannot be undone: the best remaining engine is chosen, logged, and works.
func TestRefusals(t *testing.T) {
	if name := os.Getenv(refusalVariable); name != "" {
		testRefusal(t, name)
		return
	}
	for name := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRefusals$", "-test.count=1")
			cmd.Env = append(os.Environ(), refusalVariable+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func testRefusal(t *testing.T, name string) {
	want := refusals[name]
	forbid(t, want.Forbidden)
	var log bytes.Buffer
	d, err := OpenDir(t.TempDir(), Options{}, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Engine() != string(want.Engine) || d.Access() != want.Access {
		t.Errorf("engine %s, access %s, want %s, %s", d.Engine(), d.Access(), want.Engine, want.Access)
	}
	var line struct{ Engine, Access, Why string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Engine != d.Engine() || !strings.Contains(line.Why, want.Why) {
		t.Errorf("logged %s, %v", log.Bytes(), err)
	}
	if err := writeOne(t, d); err != nil {
		t.Error(err)
	}
	forced, err := OpenDir(t.TempDir(), Options{Engine: IOURing}, slog.New(slog.DiscardHandler))
	if err == nil {
		forced.Close()
	}
	if (err == nil) != (want.Engine == IOURing) {
		t.Errorf("io_uring was requested: %v", err)
	}
}

// writeOne writes a block through a Writer of d and reads it back.
func writeOne(t *testing.T, d *Dir) error {
	f := create(t, d, "a", 4*BlockSize)
	w, err := d.NewWriter(2)
	if err != nil {
		return err
	}
	defer w.Close()
	b, err := NewPool(1<<20).Get(t.Context(), BlockSize)
	if err != nil {
		return err
	}
	defer b.Release()
	for i := range b.Bytes() {
		b.Bytes()[i] = byte(i)
	}
	done := make(chan error)
	w.Submit(Request{File: f, Off: BlockSize, Buffer: b, Mode: Durable, Done: func(err error) { done <- err }})
	got := make([]byte, BlockSize)
	if err := <-done; err != nil {
		return err
	}
	if _, err := f.ReadAt(got, BlockSize); err != nil {
		return err
	}
	if !bytes.Equal(got, b.Bytes()) {
		return errors.New("what was written is not read")
	}
	return nil
}

// forbid installs a seccomp filter for all threads of the process.
func forbid(t *testing.T, calls []forbidden) {
	t.Helper()
	const offCall, offArgs = 0, 16 // of struct seccomp_data
	var program []unix.SockFilter
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	for _, c := range calls {
		refuse := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | c.Errno}
		program = append(program, load(offCall))
		if c.Bits == 0 {
			program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: c.Call}, refuse)
			continue
		}
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: c.Call},
			load(offArgs+8*c.Arg),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: c.Bits},
			refuse)
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	runtime.LockOSThread() // prctl applies to one thread; the filter applies to all
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter))); errno != 0 {
		t.Fatal(errno)
	}
}

func TestForcedEngines(t *testing.T) {
	for _, engine := range engines() {
		d := openDir(t, Options{Engine: engine})
		if d.Engine() != string(engine) {
			t.Errorf("%s was requested, %s is used", engine, d.Engine())
		}
		if want := engine != Buffered; strings.HasPrefix(d.Access(), "direct") != want {
			t.Errorf("%s has %s", engine, d.Access())
		}
	}
	if _, err := OpenDir(t.TempDir(), Options{Engine: "aio"}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "aio") {
		t.Error(err)
	}
}

// TestReopen: unsynced writes are still there after a restart of the process, and with
// Buffered they are read from disk, not from the page cache.
func TestReopen(t *testing.T) {
	for _, engine := range engines() {
		d := openDir(t, Options{Engine: engine})
		f := create(t, d, "a", 2*BlockSize)
		block := Aligned(BlockSize)
		copy(block, "here")
		if err := f.WriteAt(block, BlockSize, Volatile); err != nil {
			t.Fatal(err)
		}
		again, err := d.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if n := cached(t, again.(*file)); n != 0 {
			t.Errorf("%s: %d pages are cached", engine, n)
		}
		got := make([]byte, 4)
		if _, err := again.ReadAt(got, BlockSize); err != nil || string(got) != "here" || again.Size() != 2*BlockSize {
			t.Errorf("%s: %q, %v", engine, got, err)
		}
	}
}

// cached counts the pages of f in the page cache.
func cached(t *testing.T, f *file) (n int) {
	t.Helper()
	mem, err := unix.Mmap(f.fd, 0, int(f.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	resident := make([]byte, f.size/BlockSize)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)),
		uintptr(unsafe.Pointer(&resident[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, r := range resident {
		n += int(r & 1)
	}
	return n
}

// TestFailedWrites: system errors reach Done with each engine.
func TestFailedWrites(t *testing.T) {
	for _, engine := range engines() {
		t.Run(string(engine), func(t *testing.T) {
			d := openDir(t, Options{Engine: engine})
			create(t, d, "a", 4*BlockSize)
			readOnly, err := os.Open(d.join("a"))
			if err != nil {
				t.Fatal(err)
			}
			defer readOnly.Close()
			w, err := d.NewWriter(2)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			b, err := NewPool(1<<20).Get(t.Context(), 2*BlockSize)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Release()
			write := func(f File, off int64) error {
				done := make(chan error, 1)
				w.Submit(Request{File: f, Off: off, Buffer: b, Mode: Durable, Done: func(err error) { done <- err }})
				return <-done
			}
			f := &file{dir: d, name: "a", f: readOnly, fd: int(readOnly.Fd()), size: 4 * BlockSize}
			for range 5 { // more than the depth: slots are released
				if err := write(f, 0); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "write a") {
					t.Errorf("write to a file that is open for reading: %v", err)
				}
			}
			for _, off := range []int64{1, 3 * BlockSize} {
				if err := write(f, off); !errors.Is(err, ErrMisaligned) {
					t.Errorf("write at %d: %v", off, err)
				}
			}
		})
	}
}
