package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Node says how a node is run.
type Node struct {
	ID   int
	Dir  string   // its own; created if missing
	Args []string // of the binary
}

// Config says what to run.
type Config struct {
	Binary string
	Nodes  []Node
	// Grace is how long nodes may take to end when they are asked to.
	Grace time.Duration
	// Orphans is how long to wait for nodes of an earlier supervisor, which are stopping.
	Orphans time.Duration
}

// Kind is what has happened to a node.
type Kind int

// The kinds.
const (
	Started Kind = iota
	Ended        // by itself, or killed by somebody
	Stopped      // as it was asked to
	Killed       // since it did not end within Grace
)

// Event is something that has happened to a node.
type Event struct {
	Kind Kind
	Node int // its ID
	PID  int
	Err  error // how it ended, nil with exit code 0; why it could not be started again, with PID 0
}

// requestEvery is how often start files are looked for.
const requestEvery = 100 * time.Millisecond

// supervisor is the state of a Run.
type supervisor struct {
	cfg   Config
	tell  func(Event)
	nodes map[int]*process // running ones, by ID
	ended chan *process
}

// Run starts all nodes and runs until ctx is done and all nodes have ended. tell is called for each
// event, one at a time. If a node cannot be started at the beginning, the others are stopped and the
// error says why. The error also says which nodes had to be killed.
//
// REQUIRES: no other supervisor runs these nodes; the caller holds a lock for that.
func Run(ctx context.Context, cfg Config, tell func(Event)) error {
	s := &supervisor{cfg: cfg, tell: tell, nodes: make(map[int]*process), ended: make(chan *process)}
	for _, n := range cfg.Nodes {
		if err := s.orphan(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range cfg.Nodes {
		if err := errors.Join(withdraw(n.Dir), s.start(n)); err != nil {
			return errors.Join(err, s.stop())
		}
	}
	tick := time.NewTicker(requestEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.stop()
		case p := <-s.ended:
			s.note(p, Ended)
		case <-tick.C:
			s.requests()
		}
	}
}

// orphan waits until no process of an earlier supervisor uses a node's directory.
func (s *supervisor) orphan(ctx context.Context, n Node) error {
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return fmt.Errorf("directory of node %d: %w", n.ID, err)
	}
	bounded, cancel := context.WithTimeout(ctx, s.cfg.Orphans)
	defer cancel()
	for {
		release, err := blockfs.Lock(n.Dir)
		if err == nil {
			return errors.Join(release(), remove(pidFile(n.Dir)))
		}
		if !errors.Is(err, blockfs.ErrLocked) {
			return fmt.Errorf("directory of node %d: %w", n.ID, err)
		}
		select {
		case <-time.After(requestEvery):
		case <-bounded.Done():
			which := "a process uses its directory " + n.Dir
			if pid, err := PID(n.Dir); err == nil {
				which = fmt.Sprintf("it is, or was, process %d", pid)
			}
			return fmt.Errorf("node %d of an earlier start still runs: %s; stop it first", n.ID, which)
		}
	}
}

// start starts a node that does not run.
func (s *supervisor) start(n Node) error {
	p, err := launch(s.cfg.Binary, n, s.ended)
	if err != nil {
		return fmt.Errorf("node %d: %w", n.ID, err)
	}
	s.nodes[n.ID] = p
	if err := writePID(n.Dir, p.pid); err != nil {
		p.kill() // and its end is noted
		return fmt.Errorf("node %d: %w", n.ID, err)
	}
	s.tell(Event{Kind: Started, Node: n.ID, PID: p.pid})
	return nil
}

// requests starts the nodes that are asked for.
func (s *supervisor) requests() {
	for _, n := range s.cfg.Nodes {
		if _, err := os.Lstat(startFile(n.Dir)); err != nil {
			continue
		}
		var err error
		if s.nodes[n.ID] == nil {
			err = s.start(n)
		}
		if err = errors.Join(err, withdraw(n.Dir)); err != nil {
			s.tell(Event{Kind: Ended, Node: n.ID, Err: err})
		}
	}
}

// note takes in that a node has ended.
func (s *supervisor) note(p *process, kind Kind) {
	delete(s.nodes, p.node.ID)
	err := p.err
	if removed := remove(pidFile(p.node.Dir)); removed != nil {
		err = errors.Join(err, removed)
	}
	s.tell(Event{Kind: kind, Node: p.node.ID, PID: p.pid, Err: err})
}

// stop asks all nodes to end, and waits for it.
func (s *supervisor) stop() error {
	for _, p := range s.nodes {
		p.terminate()
	}
	late := time.NewTimer(s.cfg.Grace)
	defer late.Stop()
	kind, expired := Stopped, late.C
	var errs []error
	for len(s.nodes) > 0 {
		select {
		case p := <-s.ended:
			s.note(p, kind)
			if kind == Stopped && p.failed() {
				errs = append(errs, fmt.Errorf("node %d: %w; see %s", p.node.ID, p.err, logFile(p.node.Dir)))
			}
		case <-expired:
			kind, expired = Killed, nil
			for id, p := range s.nodes {
				p.kill()
				errs = append(errs, fmt.Errorf("node %d did not stop within %s and was killed; see %s", id, s.cfg.Grace, logFile(p.node.Dir)))
			}
		}
	}
	return errors.Join(errs...)
}

func pidFile(dir string) string   { return filepath.Join(dir, "pid") }
func startFile(dir string) string { return filepath.Join(dir, "start") }
func logFile(dir string) string   { return filepath.Join(dir, "log") }

// withdraw removes the request to start a node.
func withdraw(dir string) error { return remove(startFile(dir)) }

func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
