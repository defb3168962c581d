package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Graph is a set of nodes and the edges between them. Wire it with [From], [Via],
// [Into] and the junctions on one goroutine, then call [Graph.Run] once. All
// other methods may be called while it runs.
type Graph struct {
	label string
	log   *slog.Logger
	life  *life
	nodes []*node // upstream before downstream, by construction
	names map[string]bool
	wrong []error // wiring mistakes, reported by Run
	drop  bool    // stop without draining

	mu    sync.Mutex // guards state
	state graphState
	ready chan struct{}
	over  chan struct{} // closed when every node has returned
}

type graphState uint8

const (
	graphWired graphState = iota
	graphStarting
	graphRunning
	graphDraining
	graphStopped
)

var graphStates = [...]string{"wired", "starting", "running", "draining", "stopped"}

// GraphOption configures a Graph.
type GraphOption func(*Graph)

// WithLogger makes the graph log its drain and the nodes that ignore an abort.
// Nothing is logged by default.
func WithLogger(l *slog.Logger) GraphOption { return func(g *Graph) { g.log = l } }

// WithoutDrain is for work that the next run can redo: when Run's context ends,
// the graph is aborted at once, and Run returns nil.
func WithoutDrain() GraphOption { return func(g *Graph) { g.drop = true } }

// errDropped is the abort cause of a graph that stops without a drain.
var errDropped = errors.New("pipeline: stopped, without a drain")

// New returns an empty graph. The name appears in errors and metrics.
func New(name string, opts ...GraphOption) *Graph {
	g := &Graph{label: name, log: slog.New(slog.DiscardHandler), life: &life{clk: newClock()},
		names: map[string]bool{}, ready: make(chan struct{}), over: make(chan struct{})}
	for _, o := range opts {
		o(g)
	}
	g.log = g.log.With("graph", name)
	return g
}

// Name returns the name given to [New].
func (g *Graph) Name() string { return g.label }

// Ready returns a channel that is closed once every node has started. It stays
// open if one failed to start.
func (g *Graph) Ready() <-chan struct{} { return g.ready }

func (g *Graph) add(name, kind string, user any) *node {
	g.reserve(name)
	n := &node{g: g, name: name, kind: kind, user: user}
	g.nodes = append(g.nodes, n)
	return n
}

// reserve takes the name of a node or junction.
func (g *Graph) reserve(name string) {
	if g.names[name] {
		g.miswired("duplicate name %s", name)
	}
	g.names[name] = true
}

func (g *Graph) miswired(format string, args ...any) {
	g.wrong = append(g.wrong, fmt.Errorf("%w: "+format, append([]any{ErrWiring}, args...)...))
}

// find returns the node with that name; junctions are not nodes.
func (g *Graph) find(name string) (*node, error) {
	for _, n := range g.nodes {
		if n.name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%w: %s in %s", ErrUnknownNode, name, g.label)
}

// Run starts the nodes, downstream first, and blocks until the graph is empty and
// all of its goroutines have returned. It returns nil after a drain or when the
// sources have ended, otherwise the reason for the abort: a [StageError] or a
// [DrainTimeoutError].
//
// When ctx ends, the drain begins: sources stop and work in progress is finished.
// What is unfinished after grace, or at once [WithoutDrain], is nacked. A node
// that ignores the end of its own context still keeps Run waiting; that is
// logged.
func (g *Graph) Run(ctx context.Context, grace time.Duration) error {
	if err := g.begin(); err != nil {
		return err
	}
	l := g.life
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	soft, stop := context.WithCancelCause(hard)
	l.hard, l.soft, l.kill = hard, soft, kill
	var watchers sync.WaitGroup
	watchers.Go(func() { g.watchDrain(ctx, stop, grace) })
	watchers.Go(func() { g.watchAbort(grace) })
	g.start()
	close(g.over)
	watchers.Wait()
	for i := len(g.nodes) - 1; i >= 0; i-- { // downstream first: blame the actual holder
		g.nodes[i].abandon()
	}
	g.enter(graphStopped)
	if err := l.cause(); !errors.Is(err, errDropped) {
		return err
	}
	return nil
}

// begin connects the edges and refuses a miswired graph.
func (g *Graph) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != graphWired {
		return fmt.Errorf("%w: %s has already been run", ErrWiring, g.label)
	}
	g.state = graphStarting
	errs := g.wrong
	for _, n := range g.nodes {
		if n.out != nil {
			errs = append(errs, n.out.connect())
		}
	}
	return errors.Join(errs...)
}

// start starts and runs the nodes, downstream first, and waits for them. Once one
// has failed to start, nodes that have yet to start are skipped, unless they have
// no Start: those run and find their context ended.
func (g *Graph) start() {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := len(g.nodes) - 1; i >= 0; i-- {
		n := g.nodes[i]
		if !n.start(g.life.hard) {
			wg.Go(n.leave)
			continue
		}
		wg.Go(n.work)
	}
	if g.life.cause() == nil {
		g.enter(graphRunning)
		close(g.ready)
	}
}

// enter moves to a later state.
func (g *Graph) enter(s graphState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = max(g.state, s)
}

// watchDrain waits for ctx to end, stops the sources and gives the rest a grace
// period.
func (g *Graph) watchDrain(ctx context.Context, stop context.CancelCauseFunc, grace time.Duration) {
	select {
	case <-ctx.Done():
	case <-g.over:
		return
	}
	g.enter(graphDraining)
	if g.drop {
		stop(context.Cause(ctx))
		g.life.abort(errDropped)
		return
	}
	g.log.Info("draining", "grace", grace)
	began := time.Now()
	stop(context.Cause(ctx))
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-t.C:
		g.life.abort(&DrainTimeoutError{g.label, g.hung()})
	case <-g.life.hard.Done():
	case <-g.over:
		g.log.Info("drained", "took", time.Since(began).Round(time.Millisecond))
	}
}

// watchAbort logs the nodes that keep running after an abort.
func (g *Graph) watchAbort(grace time.Duration) {
	select {
	case <-g.life.hard.Done():
	case <-g.over:
		return
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-t.C:
		g.log.Error("stages ignore the abort", "stages", g.hung())
	case <-g.over:
	}
}

// hung returns the nodes that keep others waiting: busy with a parcel and not
// blocked by a node downstream.
func (g *Graph) hung() []string {
	var names, all []string
	for _, n := range g.nodes {
		if n.state.Load() == nodeReturned {
			continue
		}
		all = append(all, n.name)
		if n.busy() {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return all
	}
	return names
}
