package consensus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lni/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/meta"
)

// faultPlan, if set, turns the test binary into a node whose disk fails once. It is a separate
// process, since goroutines blocked by the failure never return.
const faultPlan = "SLUICE_TEST_FAULT_PLAN"

type plan struct {
	Directory string
	Reads     bool
	Stays     bool
	At        int64
	Errno     syscall.Errno
	Topics    int // to create
}

const (
	exitFailed = 3 // exit code with an error message
	exitHangs  = 4
)

// runFaulty opens a node, creates topics, prints what was acknowledged and exits. Its last line
// is the number of disk operations.
func runFaulty(text string) int {
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitHangs
	}
	time.AfterFunc(2*time.Minute, func() {
		fmt.Fprintln(os.Stderr, "it hangs")
		os.Exit(exitHangs)
	})
	disk := faulty{FS: vfs.Default, reads: p.Reads, stays: p.Stays, at: p.At, errno: p.Errno, count: new(atomic.Int64)}
	cfg := faultConfig(p.Directory)
	cfg.Disk = disk
	err := createOn(cfg, p.Topics)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	fmt.Println("operations", disk.count.Load())
	return 0
}

func faultConfig(dir string) consensus.Config {
	cfg := small(filepath.Join(dir, "meta"))
	cfg.SnapshotEntries, cfg.ReserveBytes, cfg.Timeout = 16, 0, 5*time.Second
	return cfg
}

func createOn(cfg consensus.Config, topics int) (err error) {
	ctx := context.Background()
	c, err := consensus.Open(ctx, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for shard, why := range c.Offline() {
		return fmt.Errorf("shard %d: %w", shard, why)
	}
	if _, err := c.RegisterBroker(ctx, me); err != nil {
		return err
	}
	for i := range topics {
		name := fmt.Sprintf("topic-%d-%d", os.Getpid(), i)
		if _, err := c.CreateTopic(ctx, meta.TopicSpec{Name: name, Partitions: 5, Replication: 1}); err != nil {
			return err
		}
		fmt.Println("created", name)
	}
	return nil
}

// faultyRun runs a node in a separate process and returns the topics that it acknowledged and,
// if nothing failed, the number of disk operations.
func faultyRun(t *testing.T, p plan) (topics []string, operations int64) {
	t.Helper()
	text, err := json.Marshal(p)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), faultPlan+"="+string(text))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != exitFailed || strings.Contains(errs.String(), "goroutine ") {
		t.Errorf("%+v: exit code %d\n%s", p, code, errs.String())
	}
	for line := range strings.Lines(out.String()) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "created":
			topics = append(topics, rest)
		case "operations":
			_, err := fmt.Sscan(rest, &operations)
			must(t, err)
		}
	}
	return topics, operations
}

// torn appends to each log in a directory what an interrupted write leaves, so that the next
// start rebuilds the logs.
func torn(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "meta", "*", "*", "tandb", "node-*-*", "*.log"))
	must(t, err)
	for _, log := range logs {
		f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString("the beginning of a record that was never whole")
		must(t, errors.Join(err, f.Close()))
	}
}

// crashed returns the directory of a node that was killed while writing.
func crashed(t *testing.T) (dir string, topics []string) {
	t.Helper()
	dir = t.TempDir()
	topics, _ = faultyRun(t, plan{Directory: dir, At: 400, Stays: true, Errno: syscall.EIO, Topics: 100})
	if len(topics) < 5 {
		t.Fatalf("only %d topics were created before the disk failed", len(topics))
	}
	torn(t, dir)
	return dir, topics
}

// TestEveryFailingOperation: a node starts on a directory left by a crash, and each of its disk
// operations fails in turn, once or from then on. It must report the failure and exit; on a
// working disk everything that was acknowledged is there.
func TestEveryFailingOperation(t *testing.T) {
	dir, before := crashed(t)
	const topics = 6
	for _, p := range []plan{
		{Errno: syscall.ENOSPC, Stays: true},
		{Errno: syscall.ENOSPC},
		{Errno: syscall.EIO},
		{Errno: syscall.EIO, Reads: true},
		{Errno: syscall.EMFILE, Reads: true, Stays: true},
	} {
		t.Run(fmt.Sprintf("%s reads=%v stays=%v", p.Errno, p.Reads, p.Stays), func(t *testing.T) {
			run := func(at int64) int64 {
				p.Directory, p.At, p.Topics = t.TempDir(), at, topics
				must(t, os.CopyFS(p.Directory, os.DirFS(dir)))
				created, operations := faultyRun(t, p)
				if at == 0 && len(created) != topics {
					t.Fatalf("%d topics were created on a working disk", len(created))
				}
				c := open(t, faultConfig(p.Directory))
				if len(c.Offline()) > 0 {
					t.Errorf("%+v: %v", p, c.Offline())
				}
				for _, name := range append(created, before...) {
					if _, ok := c.View().TopicByName(name); !ok {
						t.Errorf("%+v: topic %s was acknowledged and is missing", p, name)
					}
				}
				closed(t, c)
				must(t, os.RemoveAll(p.Directory))
				return operations
			}
			operations := run(0)
			for at := int64(1); at <= operations; at += step(operations) {
				run(at)
			}
			t.Logf("%d operations, every %d. of them", operations, step(operations))
		})
	}
}

// step returns the distance between two operations to fail.
func step(operations int64) int64 {
	switch {
	case os.Getenv("SLUICE_TEST_EVERY_FAULT") != "":
		return 1
	case testing.Short():
		return max(1, operations/6)
	default:
		return max(1, operations/16)
	}
}
