// Package clock abstracts time, so that time-dependent logic can be driven by a
// test.
//
// Under testing/synctest the real clock is already virtual; System is then all a
// test needs. Manual is for pure state machines whose tests step time themselves.
package clock

import (
	"sync"
	"time"
)

// Clock returns the time. Implementations are safe for concurrent use.
type Clock interface {
	// Now returns the current time, with a monotonic reading if available.
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now returns time.Now().
func (System) Now() time.Time { return time.Now() }

// Manual is a clock that moves only when told to. The zero value is at the zero
// time.
type Manual struct {
	mu  sync.Mutex
	now time.Time
}

// NewManual returns a Manual set to t.
func NewManual(t time.Time) *Manual { return &Manual{now: t} }

// Now returns the time last set.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock forward by d.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}
