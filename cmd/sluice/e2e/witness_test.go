package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The metadata and its guard are restored from a copy made while the same process ran. The broker
// refuses to start, rather than silently forget a topic created since, whose records are only in objects.
func TestMetadataOfTheSameStartIsNotPutBack(t *testing.T) {
	n := newWALNode(t)
	noted := func() []byte {
		b, err := os.ReadFile(n.path("wal.guard/metadata"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return b
	}
	if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"meta", "meta.guard"} {
		copyTree(t, n.path(name), n.path(name)+".old")
	}
	if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.createTopic("late", 1)
	cl := n.client(kgo.DefaultProduceTopic("late"))
	if err := cl.ProduceSync(deadline(t), kgo.StringRecord("acknowledged")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	n.hurry()
	before := noted()
	n.createTopic("later", 1) // a note made after this covers topic late, too
	until(t, n.broker, "how far the metadata has got is noted", 20*time.Second, func() bool { return !bytes.Equal(noted(), before) })
	n.kill()
	for _, name := range []string{"meta", "meta.guard"} {
		back := n.away(name)
		defer back()
		copyTree(t, n.path(name)+".old", n.path(name))
	}
	for range 2 {
		err := n.serve()
		if err == nil {
			t.Fatalf("it starts as if nothing were missing\n%s", tail(n.log.String(), 3000))
		}
		if !strings.Contains(err.Error(), "--accept-lost-metadata") {
			t.Errorf("it does not say what can be done: %v", err)
		}
	}
	for _, name := range []string{"meta", "meta.guard"} {
		if err := os.RemoveAll(n.path(name)); err != nil {
			t.Fatal(err)
		}
		copyTree(t, n.path(name)+".away", n.path(name))
	}
	n.mustServe()
	n.check()
	if got := readAll(t, n.broker, "late"); len(got[0]) != 1 {
		t.Errorf("the late topic has %d records", len(got[0]))
	}
	n.kill()
}

// A second broker on the WAL directory of a running one is refused before it looks at the metadata
// witness there, with any --accept flags.
func TestTheWitnessOfARunningBrokerStays(t *testing.T) {
	n := newWALNode(t)
	n.hurry()
	until(t, n.broker, "the witness is written", 20*time.Second, func() bool {
		_, err := os.Stat(n.path("wal.guard/metadata"))
		return err == nil
	})
	other := settings(t, fmt.Sprintf("[broker]\ndata_directory = %q\n[network]\nquic_listen = \"\"\ntcp_listen = %q\n[wal]\ndirectory = %q\n[admin]\nlisten = \"\"\n",
		t.TempDir(), freePort(t), n.path("wal")))
	for _, args := range [][]string{nil, {"--accept-lost-metadata"}, {"--accept-lost-metadata", "--accept-lost-wal"}} {
		_, errs, code := alone(t, append([]string{"broker", "--config", other}, args...)...)
		if code != 1 || !strings.Contains(errs, "in use by another process") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	if _, err := os.Stat(n.path("wal.guard/metadata")); err != nil {
		t.Error(err)
	}
	n.check()
	n.kill()
}
