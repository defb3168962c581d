package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// storeOf returns the object store's directory, which is the default one.
func (n *walNode) storeOf() string { return n.path("objects") }

// mustRefuse checks that the broker refuses to start, and prints words and --accept-other-store.
func (n *walNode) mustRefuse(words string, args ...string) {
	n.t.Helper()
	if err := n.serve(args...); err == nil {
		n.t.Fatalf("it starts\n%s", tail(n.log.String(), 3000))
	}
	for _, w := range []string{words, "--accept-other-store"} {
		if !strings.Contains(n.log.String(), w) {
			n.t.Errorf("it does not say %q:\n%s", w, tail(n.log.String(), 3000))
		}
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// changes lists files and directories with their sizes and modification times.
func changes(t *testing.T, dir string) (list string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			list += fmt.Sprintf("%s %d %s\n", path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A broker refuses a store that belongs to another cluster, and does not write to it. It also refuses
// an empty store although its metadata refers to objects, and the right store if the data directory
// is an old copy.
func TestAStoreThatIsNotTheOneIsRefused(t *testing.T) {
	n, other := newWALNode(t), newWALNode(t)
	n.hurry()
	other.stop()
	n.stop()
	swap := n.away("objects")
	copyTree(t, other.storeOf(), n.storeOf())
	before := changes(t, n.storeOf())
	n.mustRefuse("it is in use by the cluster")
	if after := changes(t, n.storeOf()); after != before {
		t.Errorf("a broker that is refused has written to the store: it had\n%sand has\n%s", before, after)
	}
	if err := os.RemoveAll(n.storeOf()); err != nil {
		t.Fatal(err)
	}
	n.mustRefuse("it has no ownership mark, although the metadata refers to objects in it")
	swap()
	copyTree(t, n.dir, n.dir+".old")
	t.Cleanup(func() { os.RemoveAll(n.dir + ".old") })
	n.mustServe()
	n.check()
	n.produce(5)
	n.stop()
	n.mustServe() // the second start since the copy
	n.stop()
	// Restore the old copy of everything but the store.
	for _, name := range []string{"meta", "meta.guard", "wal", "wal.guard"} {
		back := n.away(name)
		defer back()
		copyTree(t, filepath.Join(n.dir+".old", name), n.path(name))
	}
	n.mustRefuse("the data directory is an old copy")
}

// A process with a copy of the data directory is refused unless told to take over the store. If it
// does, the first process exits.
func TestTwoProcessesOfOneBroker(t *testing.T) {
	n := newWALNode(t)
	n.hurry()
	n.stop()
	twin := &walNode{test: t, metaNode: newMetaNode(t, t.TempDir(), 0)}
	for _, name := range []string{"meta", "meta.guard", "wal", "wal.guard"} {
		copyTree(t, n.path(name), twin.path(name))
	}
	text, err := os.ReadFile(twin.settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(twin.settings, append(text, fmt.Sprintf("[object_storage]\nurl = \"file://%s\"\n", n.storeOf())...), 0o600); err != nil {
		t.Fatal(err)
	}
	n.mustServe()
	twin.mustRefuse("or a process with a copy of it runs")
	twin.mustServe("--accept-other-store")
	select {
	case <-n.over:
		n.cmd = nil
		if !strings.Contains(n.log.String(), "another process of broker") {
			t.Errorf("it ended without a word:\n%s", tail(n.log.String(), 3000))
		}
	case <-time.After(2 * time.Minute):
		t.Error("two processes work in one store")
	}
	twin.stop()
}

// A store that lost its ownership mark is refused, but can be taken over.
func TestAStoreCanBeTakenOver(t *testing.T) {
	n := newWALNode(t)
	n.hurry()
	n.stop()
	if err := os.Remove(filepath.Join(n.storeOf(), "owner", "cluster")); err != nil {
		t.Fatal(err)
	}
	n.mustRefuse("it has no ownership mark")
	n.mustServe("--accept-other-store")
	n.check()
	n.stop()
	n.mustServe()
	n.check()
}

// A supervisor restarts a process that exited, again and again. An old copy of the data directory is
// refused every time.
func TestAnOldCopyIsRefusedHoweverOftenItStarts(t *testing.T) {
	n := newWALNode(t)
	n.hurry()
	n.stop()
	copyTree(t, n.dir, n.dir+".old")
	t.Cleanup(func() { os.RemoveAll(n.dir + ".old") })
	n.mustServe()
	n.produce(5)
	n.stop()
	for _, name := range []string{"meta", "meta.guard", "wal", "wal.guard"} {
		back := n.away(name)
		defer back()
		copyTree(t, filepath.Join(n.dir+".old", name), n.path(name))
	}
	for i := range 4 {
		if err := n.serve(); err == nil {
			t.Fatalf("start %d of an old copy serves", i+1)
		} else if !strings.Contains(err.Error(), "--accept-other-store") {
			t.Fatalf("start %d: %v", i+1, err)
		}
	}
}

// The store disappears under a running broker and leaves an empty directory, like a failed mount.
// Records acknowledged meanwhile stay in the WAL and are uploaded once the store is back.
func TestAStoreThatVanishesTakesNothingWithIt(t *testing.T) {
	n := newWALNode(t)
	n.hurry()
	n.produce(5)
	until(t, n.broker, "the first are uploaded", time.Minute, func() bool { return n.metric("sluice_upload_pending_bytes") == 0 })
	mounted := n.storeOf() + ".mounted"
	if err := os.Rename(n.storeOf(), mounted); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(n.storeOf(), 0o700); err != nil {
		t.Fatal(err)
	}
	failed := func() float64 { return n.metric("sluice_upload_failures_total") }
	before := failed()
	n.produce(5)
	until(t, n.broker, "uploads fail", time.Minute, func() bool { return failed() >= before+3 })
	if n.metric("sluice_upload_pending_bytes") == 0 {
		t.Error("records were uploaded into an empty directory")
	}
	objects := 0
	for line := range strings.Lines(changes(t, n.storeOf())) {
		if strings.Contains(line, "/objects/") && strings.Contains(line, ".obj") {
			objects++
		}
	}
	if objects > 1 {
		t.Errorf("%d objects were written into it", objects)
	}
	n.kill()
	if err := os.RemoveAll(n.storeOf()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(mounted, n.storeOf()); err != nil {
		t.Fatal(err)
	}
	n.mustServe()
	n.hurry()
	n.check()
	until(t, n.broker, "the rest is uploaded", time.Minute, func() bool { return n.metric("sluice_upload_pending_bytes") == 0 })
	n.check()
}

// A damaged mark does not mean another owner: a running broker waits until its own mark is back, and
// a start is refused without mention of another process or cluster.
func TestADamagedMarkIsNobodysMark(t *testing.T) {
	n := newWALNode(t)
	n.hurry()
	n.produce(5)
	path := filepath.Join(n.storeOf(), "owner", "broker-1")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flipped := append([]byte{}, good...)
	flipped[len(flipped)/3] ^= 1
	for _, bad := range [][]byte{[]byte("<html>moved</html>"), flipped, good[:len(good)/2], nil} {
		write(bad)
		before := n.metric("sluice_upload_failures_total")
		n.produce(1)
		until(t, n.broker, "an upload fails", time.Minute, func() bool { return n.metric("sluice_upload_failures_total") > before })
		write(good)
		until(t, n.broker, "it is uploaded", time.Minute, func() bool { return n.metric("sluice_upload_pending_bytes") == 0 })
	}
	n.check()
	n.stop()
	write(flipped)
	n.mustRefuse("is damaged, or something else answers in its place")
	if strings.Contains(n.log.String(), "another process") || strings.Contains(n.log.String(), "in use by the cluster") {
		t.Errorf("it blames another:\n%s", n.log)
	}
	write(good)
	n.mustServe()
	n.check()
}
