package consensus_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/meta"
)

// crashDirectory, if set, turns the test binary into a node that creates topics until it is
// killed.
const crashDirectory = "SLUICE_TEST_CRASH_DIRECTORY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirectory); dir != "" {
		fmt.Println(createUntilKilled(dir))
		os.Exit(1)
	}
	if plan := os.Getenv(faultPlan); plan != "" {
		os.Exit(runFaulty(plan))
	}
	os.Exit(m.Run())
}

// createUntilKilled prints the name of each topic once it is acknowledged.
func createUntilKilled(dir string) error {
	ctx, cfg := context.Background(), small(dir)
	c, err := consensus.Open(ctx, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	if _, err := c.RegisterBroker(ctx, me); err != nil {
		return err
	}
	for i := len(c.View().Topics()); ; i++ {
		name := fmt.Sprintf("topic-%d-%d", os.Getpid(), i)
		if _, err := c.CreateTopic(ctx, meta.TopicSpec{Name: name, Partitions: 5, Replication: 1}); err != nil {
			return err
		}
		if _, err := fmt.Println(name); err != nil {
			return err
		}
	}
}

func TestKilledNodeKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for round := range 3 {
		acknowledged = append(acknowledged, killAfter(t, dir, 40+round*37)...)
		c := open(t, small(dir))
		view := c.View()
		for _, name := range acknowledged {
			if topic, ok := view.TopicByName(name); !ok || len(topic.Partitions) != 5 {
				t.Errorf("round %d: topic %s was acknowledged and is %+v", round, name, topic)
			}
		}
		if extra := len(view.Topics()) - len(acknowledged); extra < 0 || extra > 1+round {
			t.Errorf("round %d: %d topics were not acknowledged, at most one per kill can be", round, extra)
		}
		closed(t, c)
	}
}

// TestOneProcess: a directory in use by another process is refused.
func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirectory+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the other process did not start")
	}
	c, err := consensus.Open(t.Context(), small(dir), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil {
		t.Error("the directory of another process was accepted")
		closed(t, c)
	}
	t.Log(err)
	must(t, cmd.Process.Kill())
	for lines.Scan() {
		continue // printed before the kill
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the other process was not killed")
	}
}

// killAfter runs a node, kills it after the given number of topics, and returns those it
// acknowledged.
func killAfter(t *testing.T, dir string, topics int) (names []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirectory+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if names = append(names, lines.Text()); len(names) == topics {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || len(names) < topics {
		t.Fatalf("the node exited by itself: %v, %q", err, names)
	}
	return names
}
