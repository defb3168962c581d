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

// TestFailedReadIsNotEOF: a disk failure is not mistaken for the end of the file, which
// callers handle as normal.
func TestFailedReadIsNotEOF(t *testing.T) {
	dir, err := OpenDir(t.TempDir(), Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	f, err := dir.Create("a", 2*BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	dir.direct = true // unaligned reads go through an aligned buffer, whatever the file system
	if n, err := f.ReadAt(make([]byte, 10), 2*BlockSize-5); n != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("past the end: %d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 10), 5); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a failing read: %v", err)
	}
}

// TestNewDirectories: if several directories of a path are new, the entry of each must be
// made durable by syncing its parent.
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
		t.Errorf("%q are reported as new although the directory exists", got)
	}
}
