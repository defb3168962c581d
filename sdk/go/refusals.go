package sluice

import (
	"errors"
	"slices"
	"sync"
)

// refusals knows which brokers cannot be used until somebody changes something, as for
// want of the right CA. kgo tries them again without a word, so consumers and producers
// are told from here.
type refusals struct {
	seeds []string

	mu      sync.Mutex
	refused map[string]error // by HOST:PORT
	reached map[string]bool  // have answered once
	tell    func(refusal)
}

// refusal is a broker that cannot be used.
type refusal struct {
	err     error
	reached bool // it could be, before
}

// note takes the error of a dial or a connection to host, if it is one that trying again
// does not help against. Of brokers from the config one that can be used, or has not been
// tried yet, is enough.
func (r *refusals) note(host string, err error) {
	var p *permanent
	if !errors.As(err, &p) {
		return
	}
	r.mu.Lock()
	r.refused[host] = err
	tell, reached := r.tell, r.reached[host]
	if slices.Contains(r.seeds, host) {
		for _, s := range r.seeds {
			if r.refused[s] == nil {
				tell = nil
			}
		}
	}
	r.mu.Unlock()
	if tell != nil {
		tell(refusal{err, reached})
	}
}

// answered notes that a broker can be used.
func (r *refusals) answered(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.refused, host)
	r.reached[host] = true
}

// any returns why a broker cannot be used now, nil if all can.
func (r *refusals) any() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.refused {
		return err
	}
	return nil
}

// listen has tell called with what is refused from now on. It must not block.
func (r *refusals) listen(tell func(refusal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell = tell
}

// interrupt ends a wait when a broker is refused, also if that was before the wait began.
type interrupt struct {
	mu      sync.Mutex
	pending error
	stop    func() // ends the wait, nil while there is none
}

func (i *interrupt) refused(r refusal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pending = r.err
	if i.stop != nil {
		i.stop()
	}
}

// begin begins a wait that stop ends.
func (i *interrupt) begin(stop func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stop = stop
	if i.pending != nil {
		stop()
	}
}

// end ends a wait, and returns what is to be told.
func (i *interrupt) end() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	err := i.pending
	i.pending, i.stop = nil, nil
	return err
}
