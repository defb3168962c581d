package pipeline

import "fmt"

// Limits are the bounds of a node that can be changed while it runs. Zero leaves
// a limit unchanged.
type Limits struct {
	Depth   int `json:"depth"`   // parcels queued before the node, or before each of its lanes
	Workers int `json:"workers"` // goroutines; fixed for sources, zips and lanes
}

// SetLimits changes the limits of a node. What is queued beyond a new depth
// stays queued; workers too many finish what they hold and return. Errors:
// [ErrUnknownNode], [ErrNotAdjustable]; then nothing has changed.
func (g *Graph) SetLimits(name string, l Limits) error { return g.Change(name, l, nil) }

// Change sets limits and tunables of a node, all of them or none; zero limits
// stay unchanged. Errors: [ErrUnknownNode], [ErrNotAdjustable], and those of the
// node.
func (g *Graph) Change(name string, l Limits, knobs map[string]int64) error {
	n, err := g.find(name)
	if err != nil {
		return err
	}
	if err := n.allows(l); err != nil {
		return err
	}
	if err := n.tune(knobs); err != nil {
		return err
	}
	if l.Depth > 0 {
		for _, in := range n.inputs {
			in.setDepth(l.Depth)
		}
	}
	if l.Workers > 0 && n.adjust != nil {
		n.adjust.resize(l.Workers)
	}
	return nil
}

// allows checks whether the limits of n can be set to l.
func (n *node) allows(l Limits) error {
	switch {
	case l.Depth < 0 || l.Workers < 0:
		return fmt.Errorf("%w: %s: a limit below zero", ErrNotAdjustable, n.name)
	case l.Depth > 0 && len(n.inputs) == 0:
		return fmt.Errorf("%w: %s has no input", ErrNotAdjustable, n.name)
	case l.Workers > 0 && n.adjust == nil && l.Workers != n.workers():
		return fmt.Errorf("%w: the workers of %s are fixed at %d", ErrNotAdjustable, n.name, n.workers())
	}
	return nil
}

func (n *node) tune(knobs map[string]int64) error {
	if len(knobs) == 0 {
		return nil
	}
	t, ok := n.user.(Tunable)
	if !ok {
		return fmt.Errorf("%w: %s has no tunables", ErrNotAdjustable, n.name)
	}
	return t.Tune(knobs)
}

// Limits returns the limits of a node as they are. Errors: [ErrUnknownNode].
func (g *Graph) Limits(name string) (Limits, error) {
	n, err := g.find(name)
	if err != nil {
		return Limits{}, err
	}
	l := Limits{Workers: n.workers()}
	if len(n.inputs) > 0 {
		l.Depth = n.inputs[0].describe().Depth
	}
	return l, nil
}

// Tune sets tunables of a [Tunable] node, all of them or none. Errors:
// [ErrUnknownNode], [ErrNotAdjustable], and those of the node.
func (g *Graph) Tune(name string, values map[string]int64) error {
	return g.Change(name, Limits{}, values)
}
