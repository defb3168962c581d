package supervise_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemq/sluice/cmd/sluice/supervise"
	"github.com/sluicemq/sluice/internal/blockfs"
)

// The tests run real processes: this binary with one of these arguments.
const (
	nodeArg       = "test-node"       // DIR: holds DIR until SIGTERM
	stubbornArg   = "test-stubborn"   // DIR: does not end at SIGTERM
	failingArg    = "test-failing"    // ends with exit code 3
	supervisorArg = "test-supervisor" // DIR: supervises two nodes
)

func TestMain(m *testing.M) {
	if len(os.Args) < 3 || !strings.HasPrefix(os.Args[1], "test-") {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case nodeArg, stubbornArg:
		beNode(os.Args[2], os.Args[1] == stubbornArg)
	case failingArg:
		fmt.Println("no luck")
		os.Exit(3)
	case supervisorArg:
		cfg := supervise.Config{Binary: os.Args[0], Nodes: nodes(os.Args[2], nodeArg, nodeArg), Grace: time.Minute}
		err := supervise.Run(context.Background(), cfg, func(e supervise.Event) { fmt.Println(e.Node, e.PID) })
		fmt.Println(err)
	}
}

func beNode(dir string, stubborn bool) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	release, err := blockfs.Lock(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up", os.Getpid())
	<-asked
	for stubborn {
		<-asked
	}
	fmt.Println("bye")
	if err := release(); err != nil {
		os.Exit(1)
	}
}

// nodes returns a node for each argument.
func nodes(dir string, args ...string) (all []supervise.Node) {
	for i, arg := range args {
		own := filepath.Join(dir, fmt.Sprintf("node-%d", i+1))
		all = append(all, supervise.Node{ID: i + 1, Dir: own, Args: []string{arg, own}})
	}
	return all
}

// rig is a supervisor in this process.
type rig struct {
	t      *testing.T
	dir    string
	events chan supervise.Event
	stop   context.CancelFunc
	over   chan error
}

func run(t *testing.T, dir string, cfg supervise.Config) *rig {
	t.Helper()
	release, err := blockfs.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Binary = os.Args[0]
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t: t, dir: dir, events: make(chan supervise.Event, 100), stop: cancel, over: make(chan error, 1)}
	var done sync.WaitGroup
	done.Go(func() { r.over <- supervise.Run(ctx, cfg, func(e supervise.Event) { r.events <- e }) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// next returns the next event.
func (r *rig) next() supervise.Event {
	r.t.Helper()
	select {
	case e := <-r.events:
		return e
	case err := <-r.over:
		r.t.Fatalf("the supervisor has ended: %v", err)
	case <-time.After(time.Minute):
		r.t.Fatal("nothing happens")
	}
	panic("unreachable")
}

// result stops the supervisor and returns the error of Run.
func (r *rig) result() error {
	r.t.Helper()
	r.stop()
	return ended(r.t, r.over)
}

func ended(t *testing.T, over chan error) error {
	t.Helper()
	select {
	case err := <-over:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the supervisor does not end")
		return nil
	}
}

// awaitUp waits until the process of a node handles signals.
func awaitUp(t *testing.T, n supervise.Node) {
	t.Helper()
	pid, err := supervise.PID(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	await(t, n.Dir, fmt.Sprint("up ", pid))
}

// await waits until a node's log ends with a line.
func await(t *testing.T, dir, line string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(filepath.Join(dir, "log")); strings.HasSuffix(string(text), line+"\n") {
			return
		}
	}
	t.Fatalf("%s does not say %s", dir, line)
}

func TestAKilledNodeStaysDownUntilItIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	all := nodes(dir, nodeArg, nodeArg, nodeArg)
	r := run(t, dir, supervise.Config{Nodes: all, Grace: time.Minute})
	pids := make(map[int]int)
	for range all {
		e := r.next()
		if e.Kind != supervise.Started {
			t.Fatalf("%+v", e)
		}
		pids[e.Node] = e.PID
	}
	for _, n := range all {
		awaitUp(t, n)
		if pid, err := supervise.PID(n.Dir); err != nil || pid != pids[n.ID] {
			t.Errorf("pid of node %d: %d, %v", n.ID, pid, err)
		}
	}
	if _, err := supervise.Start(t.Context(), dir, all[1].Dir); !errors.Is(err, supervise.ErrRuns) {
		t.Errorf("start of a running node: %v", err)
	}
	if err := syscall.Kill(pids[2], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := r.next(); e.Kind != supervise.Ended || e.Node != 2 || e.PID != pids[2] || e.Err == nil || !strings.Contains(e.Err.Error(), "killed") {
		t.Errorf("%+v", e)
	}
	if _, err := supervise.PID(all[1].Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file of a dead node: %v", err)
	}
	pid, err := supervise.Start(t.Context(), dir, all[1].Dir)
	if err != nil || pid == pids[2] {
		t.Fatalf("started again: %d, %v", pid, err)
	}
	if e := r.next(); e.Kind != supervise.Started || e.Node != 2 || e.PID != pid {
		t.Errorf("%+v", e)
	}
	awaitUp(t, all[1])
	if err := r.result(); err != nil {
		t.Error(err)
	}
	for range all {
		if e := <-r.events; e.Kind != supervise.Stopped || e.Err != nil {
			t.Errorf("%+v", e)
		}
	}
	for _, n := range all {
		await(t, n.Dir, "bye")
		if _, err := supervise.PID(n.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the pid file of a stopped node: %v", err)
		}
	}
}

func TestANodeThatDoesNotStopIsKilled(t *testing.T) {
	dir := t.TempDir()
	all := nodes(dir, stubbornArg, nodeArg)
	r := run(t, dir, supervise.Config{Nodes: all, Grace: 300 * time.Millisecond})
	r.next()
	r.next()
	awaitUp(t, all[0])
	awaitUp(t, all[1])
	if err := r.result(); err == nil || !strings.Contains(err.Error(), "node 1 did not stop within 300ms and was killed") {
		t.Errorf("%v", err)
	}
}

func TestANodeThatCannotRunIsTold(t *testing.T) {
	dir := t.TempDir()
	all := nodes(dir, failingArg, nodeArg)
	r := run(t, dir, supervise.Config{Nodes: all, Grace: time.Minute})
	for {
		if e := r.next(); e.Kind == supervise.Started {
			continue
		} else if e.Node != 1 || e.Kind != supervise.Ended || e.Err == nil || e.Err.Error() != "exit status 3" {
			t.Errorf("%+v", e)
		}
		break
	}
	await(t, all[0].Dir, "no luck")
	awaitUp(t, all[1])
	if err := r.result(); err != nil {
		t.Error(err)
	}
	// One that is no program, after another was started.
	all = nodes(dir, nodeArg, nodeArg)
	all[1].Dir = filepath.Join(dir, "node-1", "log") // a file
	r = run(t, t.TempDir(), supervise.Config{Nodes: all, Grace: time.Minute})
	if err := ended(t, r.over); err == nil || !strings.Contains(err.Error(), "directory of node 2") {
		t.Errorf("%v", err)
	}
}

func TestStartWithoutASupervisor(t *testing.T) {
	dir := t.TempDir()
	if _, err := supervise.Start(t.Context(), dir, filepath.Join(dir, "node-1")); !errors.Is(err, supervise.ErrNoSupervisor) {
		t.Errorf("%v", err)
	}
	release, err := blockfs.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := supervise.Start(t.Context(), dir, filepath.Join(dir, "node-1")); !errors.Is(err, supervise.ErrNoSupervisor) {
		t.Errorf("in a directory that was locked: %v", err)
	}
}

// Whatever ends the supervisor, no node stays behind; the next one waits for their end.
func TestNodesEndWithTheirSupervisor(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux signals the children of a process that dies")
	}
	dir := t.TempDir()
	first := exec.Command(os.Args[0], supervisorArg, dir)
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = first.Process.Wait() }()
	lines := bufio.NewScanner(out)
	for range 2 {
		if !lines.Scan() {
			t.Fatal("the supervisor has ended")
		}
	}
	all := nodes(dir, nodeArg, nodeArg)
	for _, n := range all {
		awaitUp(t, n)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		await(t, n.Dir, "bye")
	}
	r := run(t, dir, supervise.Config{Nodes: all, Grace: time.Minute, Orphans: time.Minute})
	r.next()
	r.next()
	for _, n := range all {
		awaitUp(t, n)
	}
	if err := r.result(); err != nil {
		t.Error(err)
	}
}

// A process of an earlier start that does not end is named and left alone.
func TestANodeOfAnEarlierStart(t *testing.T) {
	dir := t.TempDir()
	all := nodes(dir, nodeArg)
	if err := os.MkdirAll(all[0].Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command(os.Args[0], nodeArg, all[0].Dir)
	out, err := orphan.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = orphan.Process.Kill() }()
	if !bufio.NewScanner(out).Scan() { // up
		t.Fatal("the process has ended")
	}
	if err := os.WriteFile(filepath.Join(all[0].Dir, "pid"), fmt.Appendln(nil, orphan.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	err = supervise.Run(t.Context(), supervise.Config{Binary: os.Args[0], Nodes: all, Orphans: 200 * time.Millisecond}, func(e supervise.Event) { t.Errorf("%+v", e) })
	if want := fmt.Sprintf("node 1 of an earlier start still runs: it is, or was, process %d; stop it first", orphan.Process.Pid); err == nil || err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
	r := run(t, dir, supervise.Config{Nodes: all, Grace: time.Minute, Orphans: time.Minute})
	if err := orphan.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("the process was not left alone: %v", err)
	}
	if err := orphan.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if e := r.next(); e.Kind != supervise.Started {
		t.Errorf("%+v", e)
	}
	awaitUp(t, all[0])
	if err := r.result(); err != nil {
		t.Error(err)
	}
}
