package sluice

import (
	"errors"
	"slices"
	"sync"
)

// refusals tracks brokers that are unusable until somebody changes something, such as adding
// the right CA. kgo retries them silently, so consumers and producers learn about them from
// here.
type refusals struct {
	seeds []string

	mu      sync.Mutex
	refused map[string]error // by HOST:PORT
	reached map[string]bool  // have responded at least once
	tell    func(refusal)
}

// refusal is an unusable broker.
type refusal struct {
	err     error
	reached bool // it was usable before
}

// note records the error of a dial or connection to host, if a retry does not help against it.
// Bootstrap brokers are only reported if none of them is usable or untried.
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

// answered records that a broker is usable.
func (r *refusals) answered(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.refused, host)
	r.reached[host] = true
}

// any returns why some broker is unusable now, nil if none is.
func (r *refusals) any() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.refused {
		return err
	}
	return nil
}

// listen calls tell for every refusal from now on. tell must not block.
func (r *refusals) listen(tell func(refusal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell = tell
}

// interrupt ends a wait when a broker is refused, even if that happened before the wait
// started.
type interrupt struct {
	mu      sync.Mutex
	pending error
	stop    func() // ends the wait, nil if there is none
}

func (i *interrupt) refused(r refusal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pending = r.err
	if i.stop != nil {
		i.stop()
	}
}

// begin starts a wait that stop ends.
func (i *interrupt) begin(stop func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stop = stop
	if i.pending != nil {
		stop()
	}
}

// end ends a wait, and returns the error to report.
func (i *interrupt) end() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	err := i.pending
	i.pending, i.stop = nil, nil
	return err
}
