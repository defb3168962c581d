// Package backoff spaces out the attempts at things that fail, each on its own.
//
// Who enters: a source that looks at many things, again and again, and has something
// done to each. What leaves: whether a thing's turn has come. It owns one small entry
// for each thing that failed last; Forget drops those that are no more. It never fails.
package backoff

import "time"

// Set knows what failed last, by key. The zero value cannot be used. Not safe for
// concurrent use.
type Set[K comparable] struct {
	most   time.Duration
	failed map[K]failure
}

type failure struct {
	pause time.Duration
	until time.Time
}

// New returns an empty Set whose pauses grow to most.
func New[K comparable](most time.Duration) *Set[K] {
	return &Set[K]{most: most, failed: make(map[K]failure)}
}

// Due reports whether k may be tried at now.
func (s *Set[K]) Due(k K, now time.Time) bool { return !now.Before(s.failed[k].until) }

// Failing reports whether k failed last.
func (s *Set[K]) Failing(k K) bool { _, ok := s.failed[k]; return ok }

// Failed notes a failure of k at now. The first pause is first, each further one twice
// as long as the one before.
func (s *Set[K]) Failed(k K, now time.Time, first time.Duration) {
	pause := min(max(first, 2*s.failed[k].pause), max(first, s.most))
	s.failed[k] = failure{pause, now.Add(pause)}
}

// Done notes that k did not fail.
func (s *Set[K]) Done(k K) { delete(s.failed, k) }

// Len returns how many fail.
func (s *Set[K]) Len() int { return len(s.failed) }

// Forget drops what there is no more.
func (s *Set[K]) Forget(there func(K) bool) {
	for k := range s.failed {
		if !there(k) {
			delete(s.failed, k)
		}
	}
}
