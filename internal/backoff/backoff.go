// Package backoff spaces out retries of failing work, separately per key.
//
// It serves sources that repeatedly check many things and act on each: it says
// whether a thing may be retried yet. It keeps one small entry per failing key;
// Forget drops keys that no longer exist. It never fails.
package backoff

import "time"

// Set tracks failing keys. The zero value is not usable. Not safe for concurrent
// use.
type Set[K comparable] struct {
	most   time.Duration
	failed map[K]failure
}

type failure struct {
	pause time.Duration
	until time.Time
}

// New returns an empty Set whose pauses grow up to most.
func New[K comparable](most time.Duration) *Set[K] {
	return &Set[K]{most: most, failed: make(map[K]failure)}
}

// Due reports whether k may be tried at time now.
func (s *Set[K]) Due(k K, now time.Time) bool { return !now.Before(s.failed[k].until) }

// Failing reports whether k's last attempt failed.
func (s *Set[K]) Failing(k K) bool { _, ok := s.failed[k]; return ok }

// Failed records a failure of k at time now. The first pause is first, and each
// further one is twice the previous one.
func (s *Set[K]) Failed(k K, now time.Time, first time.Duration) {
	pause := min(max(first, 2*s.failed[k].pause), max(first, s.most))
	s.failed[k] = failure{pause, now.Add(pause)}
}

// Done records a success of k.
func (s *Set[K]) Done(k K) { delete(s.failed, k) }

// Len returns the number of failing keys.
func (s *Set[K]) Len() int { return len(s.failed) }

// Forget drops the keys that no longer exist.
func (s *Set[K]) Forget(there func(K) bool) {
	for k := range s.failed {
		if !there(k) {
			delete(s.failed, k)
		}
	}
}
