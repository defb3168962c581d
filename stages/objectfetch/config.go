package objectfetch

import (
	"fmt"
	"time"
)

// Config has the limits of the stage.
type Config struct {
	// RunBytes is the most that one range request asks for. Larger runs read
	// history faster and take more memory a reader.
	RunBytes int64
	// RequestBytes bounds the memory of requests that readers wait for: three quarters
	// for what is under way, one for what came when its reader had left. Further
	// requests wait for room.
	RequestBytes int64
	// RequestTimeout is how long a request may take, with all attempts and the wait
	// for room; its reader may have left long before.
	RequestTimeout time.Duration
	// AheadBytes is how far a reader in order is read ahead for, at most. 0 turns
	// it off.
	AheadBytes int64
	// AheadRequests is how many requests read ahead at once, for all readers.
	AheadRequests int
	// AheadIdle is how long a reader must have been idle before what was read
	// ahead for it makes room for others.
	AheadIdle time.Duration
}

// DefaultConfig returns runs of 4 MiB, 24 MiB and a minute for requests, and 16 MiB
// ahead with 4 requests.
func DefaultConfig() Config {
	return Config{RunBytes: 4 << 20, RequestBytes: 24 << 20, RequestTimeout: time.Minute, AheadBytes: 16 << 20, AheadRequests: 4, AheadIdle: 5 * time.Second}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.RunBytes < 64<<10:
		return fmt.Errorf("objectfetch: run of %d bytes is below 64 KiB", c.RunBytes)
	case c.RequestBytes < 1<<20:
		return fmt.Errorf("objectfetch: %d bytes for requests; 1 MiB is the least", c.RequestBytes)
	case c.RequestTimeout < time.Second:
		return fmt.Errorf("objectfetch: a request may take %s; one second is the least", c.RequestTimeout)
	case c.AheadBytes < 0:
		return fmt.Errorf("objectfetch: %d bytes cannot be read ahead; 0 turns it off", c.AheadBytes)
	case c.AheadRequests < 1:
		return fmt.Errorf("objectfetch: reading ahead with %d requests; 1 is the least, 0 bytes turn it off", c.AheadRequests)
	case c.AheadIdle <= 0:
		return fmt.Errorf("objectfetch: a reader cannot be idle after %s", c.AheadIdle)
	}
	return nil
}
