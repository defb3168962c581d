package consensus_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
)

// If the logs and their guard are restored together from an older copy, the witness refuses
// them at every start, until that is accepted for one start.
func TestLogsAndGuardPutBackTogetherAreRefused(t *testing.T) {
	dir := t.TempDir()
	cfg := small(filepath.Join(dir, "meta"))
	cfg.Witness = filepath.Join(dir, "beside", "metadata")
	must(t, os.Mkdir(filepath.Dir(cfg.Witness), 0o700))
	copied := func(from, to string) {
		t.Helper()
		for _, name := range []string{"meta", "meta.guard"} {
			must(t, os.RemoveAll(filepath.Join(to, name)))
			if out, err := exec.Command("cp", "-a", filepath.Join(from, name), filepath.Join(to, name)).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	c := open(t, cfg)
	register(t, c, 1)
	create(t, c, "before", 3)
	must(t, c.Attest())
	old := t.TempDir()
	copied(dir, old)
	create(t, c, "after", 3)
	must(t, c.Attest())
	closed(t, c)
	closed(t, open(t, cfg)) // an up-to-date copy is fine

	refused := func() {
		t.Helper()
		c, err := consensus.Open(context.Background(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err == nil {
			closed(t, c)
			t.Fatal("an older copy of the logs and their guard was accepted")
		}
		if !strings.Contains(err.Error(), "--accept-lost-metadata") {
			t.Errorf("the error does not say what to do: %v", err)
		}
	}
	copied(old, dir)
	for range 3 {
		refused()
	}
	accepting := cfg
	accepting.AcceptLost = true
	c = open(t, accepting)
	if _, ok := c.View().TopicByName("after"); ok {
		t.Error("a deleted topic is back")
	}
	create(t, c, "again", 1)
	must(t, c.Attest())
	closed(t, c)
	c = open(t, cfg)
	if _, ok := c.View().TopicByName("again"); !ok {
		t.Error("a topic created after the loss is missing")
	}
	closed(t, c)
	copied(old, dir)
	refused()
}

// A damaged witness is reported and recreated; it never prevents a start by itself.
func TestADamagedWitnessIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	cfg := small(filepath.Join(dir, "meta"))
	cfg.Witness = filepath.Join(dir, "metadata")
	c := open(t, cfg)
	register(t, c, 1)
	create(t, c, "t", 1)
	must(t, c.Attest())
	closed(t, c)
	for _, damage := range []func() error{
		func() error { return os.Truncate(cfg.Witness, 100) },
		func() error { return os.WriteFile(cfg.Witness, make([]byte, 8192), 0o600) },
		func() error { return os.Remove(cfg.Witness) },
	} {
		must(t, damage())
		c := open(t, cfg)
		if _, ok := c.View().TopicByName("t"); !ok {
			t.Error("the topic is gone")
		}
		must(t, c.Attest())
		closed(t, c)
	}
}
