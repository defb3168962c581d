package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// System is a kind of server.
type System interface {
	// Name is for reports.
	Name() string
	// Prepare returns the nodes, not started, of a cluster with these hosts, after writing what
	// they need to their directories, one for each host.
	Prepare(ctx context.Context, hosts []Host, dirs []string) ([]Node, error)
}

// Supervised is a system with a process that starts the nodes. See package supervise of
// cmd/sluice: a node's directory has a file pid while the node runs, and a file start asks for a
// node that has ended to be started.
type Supervised interface {
	System
	// Supervisor returns how to start it, on the first host. Its Ready is not used, nor are Path
	// and Args of the nodes.
	Supervisor() Node
}

// Node is how one node is started, and where it answers.
type Node struct {
	Addr  string // of Kafka clients, in plaintext
	Path  string
	Args  []string
	Env   []string
	Ready func(context.Context) error // nil once it serves clients
}

// Cluster is a set of nodes. Its methods are for one goroutine, except those that only read.
type Cluster struct {
	system System
	hosts  []Host
	nodes  []Node
	dirs   []string
	procs  []process // the latest of each node
	parent *child    // of supervised nodes
	spent  []Usage   // of earlier processes of each node
}

// Start starts a cluster below dir, one node on each host, and waits until all are ready.
func Start(ctx context.Context, system System, dir string, hosts []Host) (*Cluster, error) {
	c := &Cluster{system: system, hosts: hosts, procs: make([]process, len(hosts)), spent: make([]Usage, len(hosts))}
	for i := range hosts {
		d := filepath.Join(dir, fmt.Sprintf("node-%d", i+1))
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
		c.dirs = append(c.dirs, d)
	}
	var err error
	if c.nodes, err = system.Prepare(ctx, hosts, c.dirs); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", system.Name(), err)
	}
	if s, ok := system.(Supervised); ok {
		if c.parent, err = launch(hosts[0], s.Supervisor(), filepath.Join(dir, "output.log")); err != nil {
			return nil, err
		}
	}
	for i := range c.nodes {
		if err := c.launch(i); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	for i := range c.nodes {
		if err := c.AwaitReady(ctx, i); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Name returns that of the system.
func (c *Cluster) Name() string { return c.system.Name() }

// Size returns the number of nodes.
func (c *Cluster) Size() int { return len(c.nodes) }

// Addrs returns the addresses of all nodes for Kafka clients.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addrs[i] = n.Addr
	}
	return addrs
}

// Dir returns the directory of a node.
func (c *Cluster) Dir(i int) string { return c.dirs[i] }

// PID returns the process id of a node's latest process.
func (c *Cluster) PID(i int) int { return c.procs[i].pid() }

func (c *Cluster) launch(i int) error {
	var p process
	var err error
	if c.parent != nil {
		p, err = attach(c.dirs[i], c.parent)
	} else {
		p, err = launch(c.hosts[i], c.nodes[i], filepath.Join(c.dirs[i], "output.log"))
	}
	if err != nil {
		return fmt.Errorf("start node %d: %w", i+1, err)
	}
	c.procs[i] = p
	return nil
}

// AwaitReady waits until a node serves clients.
func (c *Cluster) AwaitReady(ctx context.Context, i int) error {
	if err := await(ctx, c.procs[i], c.nodes[i].Ready); err != nil {
		return fmt.Errorf("node %d of %s: %w", i+1, c.Name(), err)
	}
	return nil
}

// Kill ends a node with SIGKILL and waits until the process is gone.
func (c *Cluster) Kill(i int) error {
	c.spent[i] = c.spent[i].plus(usage(c.procs[i]))
	return c.procs[i].kill()
}

// Stop freezes a node with SIGSTOP and waits until all its threads have stopped.
func (c *Cluster) Stop(i int) error {
	if err := errors.Join(c.Alive(i), signal(c.procs[i], syscall.SIGSTOP)); err != nil {
		return err
	}
	for end := time.Now().Add(startLimit); state(c.PID(i)) != 'T'; time.Sleep(time.Millisecond) {
		if err := c.Alive(i); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("node %d does not stop", i+1)
		}
	}
	return nil
}

// Continue lets a frozen node run again.
func (c *Cluster) Continue(i int) error {
	return errors.Join(c.Alive(i), signal(c.procs[i], syscall.SIGCONT))
}

// Restart starts a node that was killed, or died. It does not wait until the node is ready.
func (c *Cluster) Restart(i int) error {
	if c.procs[i].alive() {
		return fmt.Errorf("node %d runs already", i+1)
	}
	if c.parent != nil {
		if err := request(c.dirs[i]); err != nil {
			return err
		}
	}
	return c.launch(i)
}

// Alive returns an error that names a node that ended by itself, and the end of its output.
func (c *Cluster) Alive(i int) error {
	if p := c.procs[i]; !p.alive() {
		return fmt.Errorf("node %d of %s ended (%w): %s", i+1, c.Name(), p.ended(), tail(p))
	}
	return nil
}

// Usage returns what all nodes used since they were first started, those that were killed
// included. What a process used that died by itself is not in it.
func (c *Cluster) Usage() Usage {
	var sum Usage
	for i, p := range c.procs {
		sum = sum.plus(c.spent[i])
		if p.alive() {
			sum = sum.plus(usage(p))
		}
	}
	return sum
}

// Close kills all nodes.
func (c *Cluster) Close() error {
	var errs []error
	for _, p := range c.procs {
		if p != nil {
			errs = append(errs, p.kill())
		}
	}
	if c.parent != nil {
		errs = append(errs, c.parent.kill())
	}
	return errors.Join(errs...)
}
