package unreadable

import (
	"fmt"
	"time"
)

// Config says when something counts as lost.
type Config struct {
	// LastingAfter is how long a place must have been missing or damaged, at each
	// attempt, before clients are told that it does not pass. Shorter tells them
	// sooner; a store that answers 404 for a while after it has lost a replica then
	// ends consumers that would have gone on.
	LastingAfter time.Duration
}

// DefaultConfig returns 30 seconds.
func DefaultConfig() Config { return Config{LastingAfter: 30 * time.Second} }

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	if c.LastingAfter < 100*time.Millisecond {
		return fmt.Errorf("unreadable: lasting after %s; 100 ms are the least", c.LastingAfter)
	}
	return nil
}
