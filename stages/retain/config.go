package retain

import (
	"fmt"
	"time"
)

// Config has the limits of retention.
type Config struct {
	// Interval is the pause between two looks at all partitions. Records outlive
	// their retention by as much.
	Interval time.Duration
	// ChangesPerSecond is how many partitions are cut in a second. Each is a change
	// of metadata.
	ChangesPerSecond int
}

// DefaultConfig returns a look every five minutes, as in Kafka.
func DefaultConfig() Config { return Config{Interval: 5 * time.Minute, ChangesPerSecond: 100} }

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Interval < leastInterval:
		return fmt.Errorf("retain: interval %s is below %s", c.Interval, leastInterval)
	case c.ChangesPerSecond < 1:
		return fmt.Errorf("retain: %d changes a second; at least 1 is needed", c.ChangesPerSecond)
	}
	return nil
}

const leastInterval = 100 * time.Millisecond
