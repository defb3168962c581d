package blockfs

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFailedReadIsNoEnd: a disk that fails is not taken for the end of the file,
// which callers know how to go on from.
func TestFailedReadIsNoEnd(t *testing.T) {
	dir, err := OpenDir(t.TempDir(), Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	f, err := dir.Create("a", 2*BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	dir.direct = true // reads that are not aligned go through memory that is, whatever the file system
	if n, err := f.ReadAt(make([]byte, 10), 2*BlockSize-5); n != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 10), 5); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a read that fails: %v", err)
	}
}

// TestNewDirectories: of a path of which several directories are new, the name of
// each has to be made durable, which is in the one above it.
func TestNewDirectories(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a", "b", "c")
	want := []string{filepath.Join(root, "a", "b"), filepath.Join(root, "a"), root}
	if got := parentsOfNew(path); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := makeDir(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	if got := parentsOfNew(path); len(got) > 0 {
		t.Errorf("%q are new though the directory is there", got)
	}
}
