package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// syncWrites measures the disk without a broker. It writes to a file past the page cache, one write at
// a time, each durable before the next.
type syncWrites struct {
	t      testing.TB
	f      *os.File
	memory []byte
	next   int64
}

const syncWritesFile = 128 << 20

// newSyncWrites creates the file in dir and writes all of it once, so that measured writes allocate no
// blocks.
func newSyncWrites(t testing.TB, dir string) *syncWrites {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "disk.probe"), os.O_CREATE|os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := &syncWrites{t: t, f: f, memory: blockfs.Aligned(1 << 20)}
	_, _ = rand.NewChaCha8([32]byte{'d'}).Read(w.memory) // never fails
	for range syncWritesFile / len(w.memory) {
		w.write(len(w.memory))
	}
	return w
}

func (w *syncWrites) write(n int) {
	if w.next+int64(n) > syncWritesFile {
		w.next = 0
	}
	if _, err := w.f.WriteAt(w.memory[:n], w.next); err != nil {
		w.t.Fatal(err)
	}
	w.next += int64(n)
}

// run writes n bytes at a time for d, and returns the duration of each write in seconds.
func (w *syncWrites) run(n int, d time.Duration) (took []float64) {
	for began := time.Now(); time.Since(began) < d; {
		each := time.Now()
		w.write(n)
		took = append(took, time.Since(each).Seconds())
	}
	return took
}
