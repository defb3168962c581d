package faultfs

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

const fileSize = 8 * blockfs.BlockSize

// rig is a file in an FS with injected faults.
type rig struct {
	t    *testing.T
	fs   *FS
	disk *crashfs.FS
	file blockfs.File
}

func newRig(t *testing.T, expression string) rig {
	t.Helper()
	disk := crashfs.New(1 << 20)
	fs, err := New(disk, "")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("a-1.seg", fileSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fs.SyncDir(), fs.Set(expression)); err != nil {
		t.Fatal(err)
	}
	return rig{t, fs, disk, f}
}

// write writes n blocks, from the first.
func (r rig) write(n int, m blockfs.Mode) error {
	p := blockfs.Aligned(n * blockfs.BlockSize)
	for i := range p {
		p[i] = 'x'
	}
	return r.file.WriteAt(p, 0, m)
}

// written counts the blocks that were written, according to fs.
func (r rig) written(fs blockfs.FS) int {
	r.t.Helper()
	names, _ := fs.List()
	f, err := fs.Open(names[0])
	if err != nil {
		r.t.Fatal(err)
	}
	p := make([]byte, fileSize)
	if _, err := f.ReadAt(p, 0); err != nil {
		r.t.Fatal(err)
	}
	return bytes.Count(p, []byte{'x'}) / blockfs.BlockSize
}

func TestTheNthWriteFails(t *testing.T) {
	r := newRig(t, "sync * EIO; write a-*.seg #2-3 EIO; write * #3 ENOSPC")
	for i, want := range []error{nil, syscall.EIO, syscall.EIO, nil} {
		if err := r.write(1, blockfs.Durable); !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", i+1, err, want)
		}
	}
	if len(r.fs.Hits()) != 2 || len(r.fs.Ops()) != 4 {
		t.Errorf("%v of %v", r.fs.Hits(), r.fs.Ops())
	}
	if err := r.file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

func TestShortAndLateWrites(t *testing.T) {
	r := newRig(t, "write * #1 short; write * #2 late EIO")
	if err := r.write(4, blockfs.Durable); !errors.Is(err, io.ErrShortWrite) || r.written(r.disk) != 2 {
		t.Errorf("short: %v, %d blocks", err, r.written(r.disk))
	}
	if err := r.write(4, blockfs.Durable); !errors.Is(err, syscall.EIO) || r.written(r.disk) != 4 {
		t.Errorf("late: %v, %d blocks", err, r.written(r.disk))
	}
	if n := r.written(r.disk.Crash(crashfs.Nothing, nil)); n != 0 {
		t.Errorf("%d blocks were durable although the writes failed", n)
	}
}

// TestFailedSyncDrops: a second sync succeeds, yet nothing is on disk.
func TestFailedSyncDrops(t *testing.T) {
	r := newRig(t, "sync a-1.seg #1 EIO")
	first, second := errors.Join(r.write(2, blockfs.Volatile), r.file.Sync()), r.file.Sync()
	if !errors.Is(first, syscall.EIO) || second != nil {
		t.Errorf("%v, then %v", first, second)
	}
	if n := r.written(r.disk.Crash(crashfs.Nothing, nil)); n != 0 {
		t.Errorf("%d blocks were durable", n)
	}
}

func TestOtherKinds(t *testing.T) {
	r := newRig(t, "create b #1 ENOSPC; open * #2 EROFS; rename * #1 EIO; rename * #2 late EIO; syncdir . #1 EIO; remove b-* EIO; list . EIO; read b EIO")
	_, err := r.fs.Create("b", 4096)
	if !errors.Is(err, blockfs.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("create: %v", err)
	}
	if f, err := r.fs.Open("a-1.seg"); err != nil {
		t.Errorf("open: %v", err)
	} else {
		f.Close()
	}
	if _, err := r.fs.Open("a-1.seg"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("open again: %v", err)
	}
	for i, err := range []error{r.fs.Rename("a-1.seg", "b"), r.fs.Rename("a-1.seg", "b"), r.fs.SyncDir()} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if _, err := r.fs.List(); !errors.Is(err, syscall.EIO) {
		t.Errorf("list: %v", err)
	}
	if _, err := r.file.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("the open file did not follow the rename: %v", err)
	}
	if names, _ := r.disk.List(); !slices.Equal(names, []string{"b"}) {
		t.Error(names)
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "write * #2 slow 50ms")
		began := time.Now()
		if err := errors.Join(r.write(1, blockfs.Durable), r.write(1, blockfs.Durable)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 50*time.Millisecond || r.written(r.disk) != 1 {
			t.Error(took)
		}
	})
}

// TestWriterOfADisk injects faults into the Writer of a real directory.
func TestWriterOfADisk(t *testing.T) {
	d, err := blockfs.OpenDir(t.TempDir(), blockfs.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	fs, err := New(d, "write b #1 EIO; write b #3 short")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("b", fileSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := blockfs.NewWriter(fs, 2)
	if err != nil {
		t.Fatal(err)
	}
	if w.Name() != d.Engine() {
		t.Errorf("the writer is %s, the directory's %s", w.Name(), d.Engine())
	}
	b, err := blockfs.NewPool(1<<20).Get(t.Context(), 2*blockfs.BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{syscall.EIO, nil, io.ErrShortWrite, nil} {
		done := make(chan error)
		w.Submit(blockfs.Request{File: f, Buffer: b, Mode: blockfs.Durable, Done: func(err error) { done <- err }})
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", i+1, err, want)
		}
	}
	b.Release()
	w.Close()
}

func TestInvalidExpressions(t *testing.T) {
	for _, s := range []string{"write", "write *", "wrote * EIO", "write [ EIO", "write * #0 EIO", "write * #3-2 EIO", "write * #x EIO",
		"write * #1", "write * ELSE", "write * slow", "write * slow 5", "write * early EIO", "write * EIO EIO EIO"} {
		if _, err := New(crashfs.New(0), "sync * EIO\n"+s); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
