package pipeline

import (
	"slices"
	"time"
)

// Topology is a snapshot of a graph that can be encoded as JSON. Counters only
// grow; each node and edge is consistent in itself, but not with the others.
type Topology struct {
	Graph string `json:"graph"`
	State string `json:"state"` // wired, starting, running, draining, stopped
	Nodes []Node `json:"nodes"` // upstream before downstream
	Edges []Edge `json:"edges"`
}

// Node is a source, stage, sink or zip.
type Node struct {
	Name     string           `json:"name"`
	Kind     string           `json:"kind"`
	State    string           `json:"state"` // new, starting, running, returned
	Workers  int              `json:"workers"`
	Lanes    int              `json:"lanes,omitempty"`
	InHand   int              `json:"in_hand"`  // parcels taken and not yet passed on
	Emitting int              `json:"emitting"` // goroutines blocked by a full edge
	Tunables map[string]int64 `json:"tunables,omitempty"`

	// How parcels left the node; a joined receipt counts as all those it stands for.
	Forwarded uint64    `json:"forwarded"`
	Acked     uint64    `json:"acked"`
	Nacked    uint64    `json:"nacked"`
	Service   Histogram `json:"service"` // from taken to left
}

// Edge is the queue before a node; a node with lanes has one per lane.
type Edge struct {
	To   string     `json:"to"`
	Lane int        `json:"lane"` // or the input of a zip
	From []Upstream `json:"from"`

	Depth       int    `json:"depth"`  // limit, parcels
	Queued      int    `json:"queued"` // parcels now
	QueuedBytes int64  `json:"queued_bytes"`
	In          uint64 `json:"in"` // parcels ever queued
	Out         uint64 `json:"out"`
	BytesIn     int64  `json:"bytes_in"`

	// Blocked is the total time emitters waited for space, Idle the total time
	// readers waited for work; both include current waits.
	Blocked time.Duration `json:"blocked_ns"`
	Idle    time.Duration `json:"idle_ns"`
	Wait    Histogram     `json:"wait"` // from queued to taken
}

// Upstream is a node that feeds an edge, and the junctions in between.
type Upstream struct {
	Node    string   `json:"node"`
	Through []string `json:"through,omitempty"`
}

// Topology returns the current nodes and edges. Edges know their upstream nodes
// once the graph has been run.
func (g *Graph) Topology() Topology {
	g.mu.Lock()
	state := g.state
	g.mu.Unlock()
	t := Topology{Graph: g.label, State: graphStates[state]}
	for _, n := range g.nodes {
		t.Nodes = append(t.Nodes, n.describe())
		for i, in := range n.inputs {
			e := in.describe()
			e.To, e.Lane = n.name, i
			t.Edges = append(t.Edges, e)
		}
	}
	return t
}

func (n *node) describe() Node {
	d := Node{Name: n.name, Kind: n.kind, State: nodeStates[n.state.Load()],
		Workers: n.workers(), Emitting: int(n.emits.Load())}
	if n.laned {
		d.Lanes = len(n.inputs)
	}
	if t, ok := n.user.(Tunable); ok {
		d.Tunables = t.Tunables()
	}
	var service tally
	for _, in := range n.inputs {
		w := in.hold()
		d.InHand += w.inHand()
		d.Forwarded += w.left[forwarded].Load()
		d.Acked += w.left[acked].Load()
		d.Nacked += w.left[nacked].Load()
		w.service.addTo(&service)
	}
	d.Service = service.snapshot()
	return d
}

func (q *queue[T]) describe() Edge {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clk.now()
	e := Edge{Depth: q.depth, Queued: q.n, QueuedBytes: q.bytesHere, In: q.in, Out: q.out, BytesIn: q.bytesIn,
		Blocked: q.blocked.elapsed(now), Idle: q.idle.elapsed(now), Wait: q.waited.snapshot()}
	e.From = slices.Clone(q.from)
	return e
}
