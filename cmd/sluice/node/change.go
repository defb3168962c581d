package node

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/pipeline"
)

// The limits that every stage has; all others are the stage's own.
const (
	keyDepth   = "depth"
	keyWorkers = "workers"
)

// limiter changes limits of running stages. It is safe for concurrent use.
type limiter struct {
	graphs []*pipeline.Graph
	memory *memory.Map
	// most is what all lines of memory must fit into, 0 for no limit.
	most int64

	mu sync.Mutex // one change at a time
}

// apply makes all changes or none. An error says which one cannot be, or that everything
// together would not fit into the process's memory.
func (l *limiter) apply(changes ...StageLimits) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for _, u := range slices.Backward(undo) {
			err = errors.Join(err, u())
		}
	}()
	raised := false
	for _, c := range changes {
		g, err := l.graph(c.Graph)
		if err != nil {
			return err
		}
		before, err := values(g, c.Stage)
		if err != nil {
			return err
		}
		if err := set(g, c.Stage, c.Values); err != nil {
			return err
		}
		maps.DeleteFunc(before, func(key string, _ int64) bool { _, changed := c.Values[key]; return !changed })
		for key, v := range before {
			raised = raised || c.Values[key] > v
		}
		undo = append(undo, func() error { return set(g, c.Stage, before) })
	}
	if raised {
		return l.memory.Fit(l.most)
	}
	return nil
}

func (l *limiter) graph(name string) (*pipeline.Graph, error) {
	var names []string
	for _, g := range l.graphs {
		if g.Name() == name {
			return g, nil
		}
		names = append(names, g.Name())
	}
	return nil, fmt.Errorf("no pipeline %q; there are %s", name, strings.Join(names, ", "))
}

// values returns all limits of a stage.
func values(g *pipeline.Graph, stage string) (map[string]int64, error) {
	now, err := g.Limits(stage)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{keyDepth: int64(now.Depth), keyWorkers: int64(now.Workers)}
	for _, n := range g.Topology().Nodes {
		if n.Name == stage {
			maps.Copy(all, n.Tunables)
		}
	}
	return all, nil
}

// set sets limits of a stage, all of them or none.
func set(g *pipeline.Graph, stage string, to map[string]int64) error {
	var l pipeline.Limits
	own := maps.Clone(to)
	for key, n := range map[string]*int{keyDepth: &l.Depth, keyWorkers: &l.Workers} {
		v, ok := own[key]
		if !ok {
			continue
		}
		if v < 1 || v > pipeline.MaxDepth {
			return fmt.Errorf("%w: %s: depth is from 1 to %d, workers from 1 to %d", pipeline.ErrNotAdjustable, stage, pipeline.MaxDepth, pipeline.MaxWorkers)
		}
		*n = int(v)
		delete(own, key)
	}
	return g.Change(stage, l, own)
}

// limit is the body of POST /limits: limits of a stage by key. Depth, Workers, and Key with
// Value are short for a Set of one.
type limit struct {
	Graph   string           `json:"graph"`
	Stage   string           `json:"stage"`
	Set     map[string]int64 `json:"set,omitempty"`
	Depth   int64            `json:"depth,omitempty"`
	Workers int64            `json:"workers,omitempty"`
	Key     string           `json:"key,omitempty"`
	Value   int64            `json:"value,omitempty"`
}

func (l *limit) change() (StageLimits, error) {
	c := StageLimits{l.Graph, l.Stage, make(map[string]int64)}
	maps.Copy(c.Values, l.Set)
	for key, v := range map[string]int64{keyDepth: l.Depth, keyWorkers: l.Workers} {
		if v != 0 {
			c.Values[key] = v
		}
	}
	if l.Key != "" {
		c.Values[l.Key] = l.Value
	}
	if len(c.Values) == 0 {
		return c, errors.New("nothing is to be changed: name limits in set")
	}
	return c, nil
}

func (a *admin) limits(w http.ResponseWriter, r *http.Request) {
	var l limit
	if err := adminhttp.Decode(r, &l); err != nil {
		adminhttp.Error(w, http.StatusBadRequest, "body must be like {\"graph\":\"write\",\"stage\":\"batch\",\"set\":{\"linger_us\":500,\"depth\":128}}: "+err.Error())
		return
	}
	c, err := l.change()
	if err == nil {
		err = a.limiter.apply(c)
	}
	if err != nil {
		adminhttp.Error(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	reply(w, l)
}
