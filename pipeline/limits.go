package pipeline

import "fmt"

// Limits are the bounds of a node that can be changed while it runs. Zero
// leaves a limit as it is.
type Limits struct {
	Depth   int `json:"depth"`   // parcels queued before the node, or each of its lanes
	Workers int `json:"workers"` // goroutines; fixed for sources, zips and lanes
}

// What limits can be set to while a node runs; more is a mistake, and each worker is a
// goroutine that is there at once.
const (
	MaxDepth   = 1 << 16
	MaxWorkers = 1024
	MaxTunable = 1 << 40 // whatever the unit of a knob is
)

// SetLimits changes the limits of a node. What is queued beyond a new depth
// stays queued; workers too many finish what they hold and return. Errors:
// [ErrUnknownNode], [ErrNotAdjustable]; then nothing has changed.
func (g *Graph) SetLimits(name string, l Limits) error {
	n, err := g.find(name)
	switch {
	case err != nil:
		return err
	case l.Depth < 0 || l.Workers < 0:
		return fmt.Errorf("%w: %s: a limit below zero", ErrNotAdjustable, name)
	case l.Depth > MaxDepth || l.Workers > MaxWorkers:
		return fmt.Errorf("%w: %s: depth is from 1 to %d, workers from 1 to %d", ErrNotAdjustable, name, MaxDepth, MaxWorkers)
	case l.Depth > 0 && len(n.inputs) == 0:
		return fmt.Errorf("%w: %s has no input", ErrNotAdjustable, name)
	case l.Workers > 0 && n.crew == nil && l.Workers != n.workers():
		return fmt.Errorf("%w: the workers of %s are fixed at %d", ErrNotAdjustable, name, n.workers())
	}
	if l.Depth > 0 {
		for _, in := range n.inputs {
			in.setDepth(l.Depth)
		}
	}
	if l.Workers > 0 && n.crew != nil {
		n.crew.resize(l.Workers)
	}
	return nil
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

// Tune sets a knob of a node that is [Tunable]. Errors: [ErrUnknownNode],
// [ErrNotAdjustable], and those of the node.
func (g *Graph) Tune(name, key string, value int64) error {
	n, err := g.find(name)
	if err != nil {
		return err
	}
	t, ok := n.user.(Tunable)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s has no knobs", ErrNotAdjustable, name)
	case value > MaxTunable:
		return fmt.Errorf("%w: %s: %s is %d at most", ErrNotAdjustable, name, key, int64(MaxTunable))
	}
	return t.Tune(key, value)
}
