package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/sourcegraph/conc/panics"
)

// node is a vertex of the graph: a source, stage, sink or zip.
type node struct {
	g      *Graph
	name   string
	kind   string
	source bool
	laned  bool

	user   any        // may be a Starter or Tunable
	run    func()     // returns once all goroutines of the node have
	drain  func()     // nacks what the node left on its edges; nil for a source
	inputs []input    // edges it reads, in lane order
	adjust adjustable // nil when the number of workers is fixed
	out    outlet     // nil for a sink
	state  atomic.Int32
	emits  atomic.Int32 // goroutines blocked in an emit
}

// input is the type-independent side of an edge.
type input interface {
	setDepth(n int)
	describe() Edge
	hold() *inflight
	drained() bool
}

// adjustable is a node's set of workers.
type adjustable interface {
	resize(n int)
	size() int
}

// outlet is the type-independent side of a node's output.
type outlet interface {
	connect() error // registers the node with the edges it emits into; ErrWiring
	close()
}

// States of a node, in order.
const (
	nodeNew int32 = iota
	nodeStarting
	nodeRunning
	nodeReturned
)

var nodeStates = [...]string{"new", "starting", "running", "returned"}

func (n *node) block(d int32) {
	if n != nil {
		n.emits.Add(d)
	}
}

// fail aborts the graph because of a failure in n.
func (n *node) fail(err error) {
	n.g.life.abort(&StageError{n.g.label, n.name, err})
}

// start calls the node's Start, if it has one, and reports whether the node may
// run: not if its Start failed, nor if it has one and the graph has already
// failed.
func (n *node) start(ctx context.Context) bool {
	n.state.Store(nodeStarting)
	s, ok := n.user.(Starter)
	if !ok {
		return true
	}
	if n.g.life.cause() != nil {
		return false
	}
	err := capture(func() error { return s.Start(ctx) })
	if err != nil {
		n.fail(err)
	}
	return err == nil
}

// workers returns how many goroutines run the node.
func (n *node) workers() int {
	switch {
	case n.adjust != nil:
		return n.adjust.size()
	case n.laned:
		return len(n.inputs)
	default:
		return 1
	}
}

// busy reports whether the node, which has not returned, is working on something
// rather than waiting for others.
func (n *node) busy() bool {
	if int(n.emits.Load()) >= n.workers() {
		return false
	}
	over := true
	for _, in := range n.inputs {
		if n.kind != "zip" && in.hold().inHand() > 0 { // a zip's parcels wait for others
			return true
		}
		over = over && in.drained()
	}
	return over // no input will come, and yet it runs; true for sources too
}

// work runs the node until all of its goroutines have returned, then closes its
// output.
func (n *node) work() {
	defer n.leave() // even by runtime.Goexit
	n.state.Store(nodeRunning)
	n.run()
}

// leave cleans up after a node has returned, or was never run.
func (n *node) leave() {
	if n.drain != nil {
		n.drain()
	}
	n.state.Store(nodeReturned)
	if n.out != nil {
		n.out.close()
	}
}

// guard calls body on behalf of n; if it fails, the graph fails.
func (n *node) guard(body func() error) {
	if err := capture(body); err != nil {
		n.fail(err)
	}
}

// capture calls body and returns its panic, if any, as a PanicError.
func capture(body func() error) error {
	var err error
	if r := panics.Try(func() { err = body() }); r != nil {
		return &PanicError{r.Value, r.Stack}
	}
	return err
}

// drainInputs nacks what a node that has returned left on its edges, and whatever
// still arrives, until they close.
func drainInputs[T any](n *node, queues []*queue[T]) {
	for _, q := range queues {
		if q.drained() {
			continue
		}
		if n.g.life.cause() == nil { // its goroutine exited without returning an error
			n.fail(ErrEarlyReturn)
		}
		q.nackRest(n.g.life.cause())
	}
}

// abandon nacks what a node never let go of. It runs after the whole graph has
// returned, not before, because a receipt derived from one that the node holds
// may have travelled on. Holding something back is a failure of the node.
func (n *node) abandon() {
	kept := 0
	for _, in := range n.inputs {
		cause := n.g.life.cause()
		if cause == nil {
			cause = &StageError{n.g.label, n.name, ErrAbandoned}
		}
		kept += in.hold().abandonAll(cause)
	}
	if kept > 0 {
		n.fail(fmt.Errorf("%w: %d parcels", ErrAbandoned, kept))
	}
}
