package node

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/pipeline"
)

// Limits that every stage has; all others are specific to a stage.
const (
	keyDepth   = "depth"
	keyWorkers = "workers"
)

// limiter changes limits of running stages. It is safe for concurrent use.
type limiter struct {
	graphs []*pipeline.Graph

	mu       sync.Mutex    // one change at a time
	settings config.Broker // in force
}

// newLimiter returns the limiter of pipelines running with settings. An error names a setting whose
// limit no stage has: its tag does not match the wiring.
func newLimiter(graphs []*pipeline.Graph, settings config.Broker) (*limiter, error) {
	l := &limiter{graphs: graphs, settings: settings}
	for f := range setting.Fields(settings) {
		if f.Live.Limit == "" {
			continue
		}
		graph, stage, _ := strings.Cut(f.Live.Stage, "/")
		g, err := l.graph(graph)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Key, err)
		}
		now, err := values(g, stage)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Key, err)
		}
		if v, ok := now[f.Live.Limit]; !ok || v != f.Whole() {
			return nil, fmt.Errorf("%s is %d, and the limits of the stage are %v", f.Key, f.Whole(), now)
		}
	}
	return l, nil
}

// apply makes all changes or none. Values that would be refused in a settings file are refused
// here, too.
func (l *limiter) apply(changes ...StageLimits) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := l.with(changes)
	if err != nil {
		return err
	}
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for _, u := range slices.Backward(undo) {
			err = errors.Join(err, u())
		}
	}()
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
		undo = append(undo, func() error { return set(g, c.Stage, before) })
	}
	l.settings = next
	return nil
}

// with returns the settings as they would be after changes.
func (l *limiter) with(changes []StageLimits) (config.Broker, error) {
	next := l.settings
	for _, c := range changes {
		for f := range setting.Fields(&next) {
			n, ok := c.Values[f.Live.Limit]
			if !ok || f.Live.Stage != c.Graph+"/"+c.Stage {
				continue
			}
			if err := f.SetWhole(n); err != nil {
				return next, err
			}
		}
	}
	if err := next.Validate(); err != nil {
		return next, err
	}
	for _, c := range changes {
		if err := l.common(c.Values); err != nil {
			return next, err
		}
	}
	return next, nil
}

// common checks the limits that every stage has, including those without a setting, against the
// bounds of those that have one.
func (l *limiter) common(values map[string]int64) error {
	for f := range setting.Fields(l.settings) {
		n, ok := values[f.Live.Limit]
		if least, most, _ := f.Bounds(); ok && (f.Live.Limit == keyDepth || f.Live.Limit == keyWorkers) && (n < least || n > most) {
			return fmt.Errorf("%s must be from %d to %d, not %d", f.Live.Limit, least, most, n)
		}
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
	own := maps.Clone(to)
	delete(own, keyDepth)
	delete(own, keyWorkers)
	return g.Change(stage, pipeline.Limits{Depth: int(to[keyDepth]), Workers: int(to[keyWorkers])}, own)
}

// settingLimit is a setting that can be changed at run time, as a limit of a stage.
type settingLimit struct {
	Graph   string `json:"graph"`
	Stage   string `json:"stage"`
	Key     string `json:"key"`
	Setting string `json:"setting"`
	Value   int64  `json:"value"`
	Least   int64  `json:"least"`
	Most    int64  `json:"most"`
}

// list returns all settings that can be changed at run time, with their current values.
func (l *limiter) list() (all []settingLimit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range setting.Fields(l.settings) {
		if f.Live.Limit == "" {
			continue
		}
		graph, stage, _ := strings.Cut(f.Live.Stage, "/")
		least, most, _ := f.Bounds()
		all = append(all, settingLimit{graph, stage, f.Live.Limit, f.Key, f.Whole(), least, most})
	}
	return all
}

// limit is the body of POST /limits: limits of a stage by key. Depth, Workers, and Key with Value
// are shorthands for a Set with one entry.
type limit struct {
	Graph   string            `json:"graph"`
	Stage   string            `json:"stage"`
	Set     map[string]number `json:"set,omitempty"`
	Depth   number            `json:"depth,omitzero"`
	Workers number            `json:"workers,omitzero"`
	Key     string            `json:"key,omitempty"`
	Value   number            `json:"value,omitzero"`
}

// number is an integer in a body. Unlike int64 it rejects null and records whether it was given.
type number struct {
	value int64
	given bool
}

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("a limit is a whole number, not %.40s", b)
	}
	n.value, n.given = v, true
	return nil
}

func (n number) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, n.value, 10), nil }

func (l *limit) change() (StageLimits, error) {
	c := StageLimits{l.Graph, l.Stage, make(map[string]int64)}
	for key, n := range l.Set {
		c.Values[key] = n.value
	}
	for key, n := range map[string]number{keyDepth: l.Depth, keyWorkers: l.Workers, l.Key: l.Value} {
		if n.given {
			c.Values[key] = n.value
		}
	}
	switch _, unnamed := c.Values[""]; {
	case unnamed || l.Key != "" && !l.Value.given:
		return c, errors.New("key and value belong together")
	case len(c.Values) == 0:
		return c, errors.New("nothing to change: name limits in set")
	}
	return c, nil
}

func (a *admin) getLimits(w http.ResponseWriter, _ *http.Request) { reply(w, a.limiter.list()) }

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
