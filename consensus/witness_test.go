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

// The logs and their guard are put back together from a copy of the same start: the witness
// refuses them, however often, until that is accepted for one start.
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
	closed(t, open(t, cfg)) // what is there is not behind what was noted

	refused := func() {
		t.Helper()
		c, err := consensus.Open(context.Background(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err == nil {
			closed(t, c)
			t.Fatal("an older copy of the logs and their guard is taken for the present")
		}
		if !strings.Contains(err.Error(), "--accept-lost-metadata") {
			t.Errorf("it does not say what can be done: %v", err)
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
		t.Error("a topic has come back")
	}
	create(t, c, "again", 1)
	must(t, c.Attest())
	closed(t, c)
	c = open(t, cfg)
	if _, ok := c.View().TopicByName("again"); !ok {
		t.Error("what was made after the loss is gone")
	}
	closed(t, c)
	copied(old, dir)
	refused()
}

// A witness that is damaged says so and is made anew; it never stands in the way alone.
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
