package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemq/sluice/cmd/sluice/supervise"
	"github.com/sluicemq/sluice/internal/chaos/cluster"
)

// What this binary is instead of a test: a node, which answers at an address and ends when it is
// asked to, or the supervisor of nodes.
const (
	nodeAt     = "CLUSTER_TEST_NODE"
	supervises = "CLUSTER_TEST_SUPERVISES"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(nodeAt) != "":
		runNode(os.Getenv(nodeAt))
	case len(os.Args) > 2 && os.Args[1] == nodeAt: // of a supervisor, which passes no environment
		runNode(os.Args[2])
	case os.Getenv(supervises) != "":
		runSupervisor(strings.Split(os.Getenv(supervises), ","))
	}
	os.Exit(m.Run())
}

func runNode(addr string) {
	http.HandleFunc("/end", func(http.ResponseWriter, *http.Request) {
		fmt.Println("out of cheese")
		os.Exit(3)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	fmt.Println(http.ListenAndServe(addr, nil))
	os.Exit(1)
}

// runSupervisor runs nodes at addresses, below the first argument.
func runSupervisor(args []string) {
	self, err := os.Executable()
	cfg := supervise.Config{Binary: self, Grace: 10 * time.Second, Orphans: time.Second}
	for i, addr := range args[1:] {
		cfg.Nodes = append(cfg.Nodes, supervise.Node{ID: i + 1, Dir: filepath.Join(args[0], fmt.Sprintf("node-%d", i+1)), Args: []string{nodeAt, addr}})
	}
	_ = os.Unsetenv(supervises)
	err = errors.Join(err, supervise.Run(context.Background(), cfg, func(e supervise.Event) { fmt.Printf("%+v\n", e) }))
	fmt.Println(err)
	os.Exit(1)
}

// nodes is a system of this binary's nodes.
type nodes struct{}

func (nodes) Name() string { return "test" }

func (nodes) Prepare(_ context.Context, hosts []cluster.Host, _ []string) ([]cluster.Node, error) {
	var out []cluster.Node
	for _, h := range hosts {
		addr, err := h.Address()
		if err != nil {
			return nil, err
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		out = append(out, cluster.Node{Addr: addr, Path: self, Env: []string{nodeAt + "=" + addr}, Ready: func(ctx context.Context) error {
			return get(ctx, addr, "/")
		}})
	}
	return out, nil
}

func get(ctx context.Context, addr, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// supervised is the same with a supervisor.
type supervised struct {
	nodes
	args []string
}

func (s *supervised) Prepare(ctx context.Context, hosts []cluster.Host, dirs []string) ([]cluster.Node, error) {
	out, err := s.nodes.Prepare(ctx, hosts, dirs)
	s.args = []string{filepath.Dir(dirs[0])}
	for i := range out {
		s.args = append(s.args, out[i].Addr)
		out[i].Path, out[i].Env = "", nil
	}
	return out, err
}

func (s *supervised) Supervisor() cluster.Node {
	self, _ := os.Executable()
	return cluster.Node{Path: self, Env: []string{supervises + "=" + strings.Join(s.args, ",")}}
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestNodesFailAndReturn(t *testing.T) {
	for name, system := range map[string]cluster.System{"children": nodes{}, "supervised": &supervised{}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c, err := cluster.Start(ctx, system, t.TempDir(), cluster.OnLoopback(3))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			first := []int{c.PID(0), c.PID(1), c.PID(2)}
			if c.Size() != 3 || len(slices.Compact(slices.Sorted(slices.Values(first)))) != 3 || c.Usage().Resident == 0 {
				t.Fatalf("processes %v, %+v", first, c.Usage())
			}
			failAndReturn(ctx, t, c, first)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			for i := range 3 {
				if c.Alive(i) == nil {
					t.Errorf("node %d outlives the cluster", i+1)
				}
			}
		})
	}
}

func failAndReturn(ctx context.Context, t *testing.T, c *cluster.Cluster, first []int) {
	t.Helper()
	addr := c.Addrs()[1]
	if c.Restart(1) == nil {
		t.Error("a node that runs was started again")
	}
	if err := c.Kill(1); err != nil || !gone(first[1]) && c.Alive(1) == nil || get(ctx, addr, "/") == nil {
		t.Errorf("a node that was killed lives: %v", err)
	}
	if c.Stop(1) == nil {
		t.Error("a node that was killed can be stopped")
	}
	if err := errors.Join(c.Restart(1), c.AwaitReady(ctx, 1), c.Alive(1), get(ctx, addr, "/")); err != nil || c.PID(1) == first[1] {
		t.Fatalf("process %d was %d: %v", c.PID(1), first[1], err)
	}
	if err := c.Stop(1); err != nil || get(ctx, addr, "/") == nil {
		t.Errorf("a node that was stopped answers: %v", err)
	}
	if err := errors.Join(c.Alive(1), c.Alive(0), get(ctx, c.Addrs()[0], "/"), c.Continue(1), c.AwaitReady(ctx, 1)); err != nil {
		t.Error(err)
	}
	_ = get(ctx, addr, "/end")
	for c.Alive(1) == nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := c.Alive(1); err == nil || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("a node that ended: %v", err)
	}
	if err := errors.Join(c.Kill(1), c.Restart(1), c.AwaitReady(ctx, 1)); err != nil {
		t.Error(err)
	}
	if c.PID(0) != first[0] || c.PID(2) != first[2] {
		t.Error("another node was started again")
	}
}

// A node that ends at its start is reported with what it printed.
func TestANodeThatDoesNotStart(t *testing.T) {
	_, err := cluster.Start(t.Context(), cluster.Sluice{Binary: "/bin/ls"}, t.TempDir(), cluster.OnLoopback(1))
	if err == nil || !strings.Contains(err.Error(), "node 1 of sluice") {
		t.Errorf("%v", err)
	}
	_, err = cluster.Start(t.Context(), &cluster.SluiceNodes{Binary: "/bin/ls"}, t.TempDir(), cluster.OnLoopback(3))
	if err == nil || !strings.Contains(err.Error(), "supervisor ended") {
		t.Errorf("%v", err)
	}
}
