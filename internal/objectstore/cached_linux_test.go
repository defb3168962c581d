package objectstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/objectstore"
)

// A stored object is not in the page cache, except for the part that stays there where the
// file system has to write through the page cache.
func TestObjectsLeaveThePageCache(t *testing.T) {
	dir := t.TempDir()
	s, err := objectstore.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	content := bytes.Repeat([]byte("0123456789abcde\n"), 4<<20)
	content = append(content, "the end"...)
	if err := s.Put(t.Context(), "large", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "large")
	if cached := resident(t, path); cached > len(content)/4 && !inMemory(t, path) {
		t.Errorf("%d of %d bytes are in the page cache", cached, len(content))
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes of %d, %v", len(b), len(content), err)
	}
}

// resident returns how many bytes of a file are in the page cache.
func resident(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	page := os.Getpagesize()
	in := make([]byte, (len(b)+page-1)/page)
	if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&in[0]))); e != 0 {
		t.Fatal(e)
	}
	n := 0
	for _, p := range in {
		n += int(p&1) * page
	}
	return n
}

// inMemory reports whether the file system is backed by the page cache alone.
func inMemory(t *testing.T, path string) bool {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		t.Fatal(err)
	}
	return s.Type == unix.TMPFS_MAGIC
}
