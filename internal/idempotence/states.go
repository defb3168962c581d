package idempotence

import (
	"cmp"
	"slices"
)

// State is the state of one producer ID, for tools.
type State struct {
	ID           int64
	Epoch        int16
	LastSequence int32
	AppendedMs   int64 // of the last batch
}

// States returns the state of all known producers, sorted by ID. ok is false
// while snapshots that may hold more have not been read. Concurrent changes may
// or may not be included.
func (ps *Producers) States() (states []State, ok bool) {
	if states, ok = ps.unsorted(); ok {
		slices.SortFunc(states, func(a, b State) int { return cmp.Compare(a.ID, b.ID) })
	}
	return states, ok
}

func (ps *Producers) unsorted() (states []State, ok bool) {
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	if ps.loading {
		return nil, false
	}
	states = make([]State, 0, len(ps.m))
	for _, p := range ps.m {
		states = append(states, State{p.id, p.epoch, p.last.last, p.appendedMs})
		if len(states)%chunk == 0 { // let producers write
			ps.table.lock.Unlock()
			ps.table.lock.Lock()
		}
	}
	return states, true
}
