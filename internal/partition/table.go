package partition

import (
	"sync"

	"github.com/sluicemq/sluice/internal/topic"
)

// Table maps partitions to their State. The zero value is empty.
type Table struct {
	// Open, if set before use, creates the state of a partition that is not in the
	// table yet but of which this broker is a replica; it returns nil for any other.
	Open func(topic.Partition) *State
	// Opened, if set before use, is called with a state that Open has made once it is in the
	// table, where changes of the metadata reach it.
	Opened func(*State)

	m       sync.Map   // topic.Partition -> *State
	opening sync.Mutex // held while a state is made
}

// Get returns the state of p, if this broker is a replica of it.
func (t *Table) Get(p topic.Partition) (*State, bool) {
	if s, ok := t.Loaded(p); ok || t.Open == nil {
		return s, ok
	}
	t.opening.Lock()
	defer t.opening.Unlock()
	if s, ok := t.Loaded(p); ok {
		return s, ok
	}
	s := t.Open(p)
	if s == nil {
		return nil, false
	}
	t.m.Store(p, s)
	if t.Opened != nil {
		t.Opened(s)
	}
	return s, true
}

// Loaded returns the state of p if it is in the table. A partition that is not
// has nothing in the WAL.
func (t *Table) Loaded(p topic.Partition) (*State, bool) {
	if v, ok := t.m.Load(p); ok {
		return v.(*State), true
	}
	return nil, false
}

// Put adds s unless its partition is already there, and returns the one kept.
func (t *Table) Put(s *State) *State {
	v, _ := t.m.LoadOrStore(s.ID, s)
	return v.(*State)
}

// Remove drops p and marks its state deleted.
func (t *Table) Remove(p topic.Partition) {
	if v, ok := t.m.LoadAndDelete(p); ok {
		v.(*State).Delete()
	}
}

// All calls f for each state until f returns false. States added or removed
// concurrently may or may not be seen.
func (t *Table) All(f func(*State) bool) {
	t.m.Range(func(_, v any) bool { return f(v.(*State)) })
}
