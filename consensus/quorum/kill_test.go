package quorum

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// killedController, if set, turns the test binary into a controller that proposes until it is
// killed: the site's directory, the id, and the addresses of all controllers.
const killedController = "SLUICE_TEST_KILLED_CONTROLLER"

func TestMain(m *testing.M) {
	if f := strings.Fields(os.Getenv(killedController)); len(f) > 2 {
		fmt.Println("failed", runKilled(f))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runKilled prints the shard and name of each change once it was acknowledged, and ends when its
// standard input does.
func runKilled(f []string) error {
	id, err := strconv.Atoi(f[1])
	if err != nil {
		return err
	}
	s := &site{dir: f[0], addrs: make(map[int32]string)}
	for i, address := range f[2:] {
		s.addrs[int32(i+1)] = address
	}
	cfg, err := s.settings(int32(id))
	if err != nil {
		return err
	}
	q, err := Open(context.Background(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	if err := q.Ready(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	for shard := 1; shard <= cfg.Shards; shard++ {
		for n := range 2 { // so that proposals are batched
			go func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("p%d-%d-%d-%d.", os.Getpid(), shard, n, i)
					if _, _, err := q.Propose(context.Background(), shard, note(name, 7)); err == nil {
						fmt.Println(shard, name)
					} else {
						time.Sleep(5 * time.Millisecond)
					}
				}
			}()
		}
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// child is a controller in a process of its own.
type child struct {
	cmd   *exec.Cmd
	in    io.Closer
	ready chan struct{}
	done  chan struct{} // all that it printed was read

	mu   sync.Mutex
	acks map[int][]string
	n    int
}

func (s *site) child(t testing.TB, id int32) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0]), ready: make(chan struct{}), done: make(chan struct{}), acks: make(map[int][]string)}
	env := fmt.Sprintf("%s=%s %d", killedController, s.dir, id)
	for i := int32(1); i <= int32(len(s.addrs)); i++ {
		env += " " + s.addrs[i]
	}
	c.cmd.Env = append(os.Environ(), env)
	in, err := c.cmd.StdinPipe()
	must(t, err)
	c.in = in
	out, err := c.cmd.StdoutPipe()
	must(t, err)
	must(t, c.cmd.Start())
	go c.read(t, out)
	t.Cleanup(c.kill)
	return c
}

func (c *child) read(t testing.TB, out io.Reader) {
	defer close(c.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		shard, name, _ := strings.Cut(lines.Text(), " ")
		switch shard {
		case "ready":
			close(c.ready)
			continue
		case "failed":
			t.Error(lines.Text())
			return
		}
		i, err := strconv.Atoi(shard)
		if err != nil || !strings.HasSuffix(name, ".") {
			continue // the kill cut it off
		}
		c.mu.Lock()
		c.acks[i] = append(c.acks[i], name)
		c.n++
		c.mu.Unlock()
	}
}

func (c *child) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// kill ends the process with SIGKILL and reads what it had printed.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may be dead
	<-c.done
	_ = c.cmd.Wait()
}

func (c *child) up(t testing.TB) {
	t.Helper()
	select {
	case <-c.ready:
	case <-time.After(testPatience):
		t.Fatal("a controller does not become ready")
	}
}

func (c *child) grows(t testing.TB) {
	t.Helper()
	want := c.count() + 20
	waitFor(t, "changes to be acknowledged", func() bool { return c.count() >= want })
}

// Each of three processes is killed with proposals in flight, then all at once. What any of them
// has acknowledged is in all of them, and they are equal.
func TestKilledControllersKeepWhatTheyAcknowledged(t *testing.T) {
	s := newSite(t, 3)
	for id := int32(1); id <= 3; id++ { // makes the CA, which must not be made by all at once
		s.config(t, id)
	}
	acks := make(map[int][]string)
	keep := func(c *child) {
		c.kill()
		for shard, names := range c.acks {
			acks[shard] = append(acks[shard], names...)
		}
	}
	var all []*child
	for id := int32(1); id <= 3; id++ {
		all = append(all, s.child(t, id))
	}
	for _, c := range all {
		c.up(t)
		c.grows(t)
	}
	for i := range all {
		keep(all[i])
		for k, c := range all {
			if k != i {
				c.grows(t)
			}
		}
		all[i] = s.child(t, int32(i+1))
		all[i].up(t)
		all[i].grows(t)
	}
	for _, c := range all {
		keep(c)
	}
	qs := s.three(t)
	total := 0
	for _, names := range acks {
		total += len(names)
	}
	same(t, acks, qs...)
	t.Logf("%d changes were acknowledged", total)
	closed(t, qs...)
}
