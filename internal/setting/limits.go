package setting

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Limits holds the Config of a running stage. Reading it is one load; whoever changes it makes a
// new one. It is safe for concurrent use.
type Limits[C interface{ Validate() error }] struct {
	stage string
	now   atomic.Pointer[C]
	mu    sync.Mutex // one change at a time
}

// NewLimits returns the Config of a stage, which is GRAPH/STAGE in the live tags of its limits.
func NewLimits[C interface{ Validate() error }](stage string, cfg C) *Limits[C] {
	l := &Limits[C]{stage: stage}
	l.now.Store(&cfg)
	return l
}

// Config returns what is in force. The caller must not change it.
func (l *Limits[C]) Config() *C { return l.now.Load() }

// Tunables returns the limits in force, by their names, in the units of a file.
func (l *Limits[C]) Tunables() map[string]int64 {
	all := make(map[string]int64)
	for f := range Fields(l.Config()) {
		if f.Live.Stage == l.stage {
			all[f.Live.Limit] = f.Whole()
		}
	}
	return all
}

// Whole returns a whole number as it is in a file, and a boolean as 0 or 1.
func (f Field) Whole() int64 {
	switch v := f.Value().(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// SetWhole is Set for what Whole returns.
func (f Field) SetWhole(n int64) error {
	if _, ok := f.Value().(bool); !ok {
		return f.Set(n)
	}
	if n != 0 && n != 1 {
		return &Problem{format: "{" + f.Key + "} must be from 0 to 1, not %d", args: []any{n}}
	}
	return f.Set(n == 1)
}

// Tune changes limits, all of them or none. The error names the limits that there are, or what
// the Config has against a value.
func (l *Limits[C]) Tune(values map[string]int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := *l.Config()
	var p Problems
	known := make(map[string]bool)
	for f := range Fields(&next) {
		if f.Live.Stage != l.stage {
			continue
		}
		known[f.Live.Limit] = true
		if n, ok := values[f.Live.Limit]; ok {
			p.Add(f.SetWhole(n))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p.Require(known[name], "%s has no limit %q; there are %s", l.stage, name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	if err := p.Err(); err != nil {
		return err
	}
	if err := next.Validate(); err != nil {
		return err
	}
	l.now.Store(&next)
	return nil
}
