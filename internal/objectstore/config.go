package objectstore

import (
	"errors"
	"fmt"
	"time"
)

// Config has the settings of a Store. Those about requests hold for stores behind
// HTTP; file:// and mem:// heed the bandwidth alone.
type Config struct {
	// PartBytes is the size of one request of an upload that takes several, at
	// least 5 MiB, S3's least. An object has at most 10,000 parts.
	PartBytes int64
	// PartConcurrency is how many parts of one object travel at a time.
	PartConcurrency int
	// MultipartThresholdBytes is up to what size PutSized sends contents in one request, at
	// most 5 GiB, S3's most; larger ones go in parts. 0 sends all in parts.
	MultipartThresholdBytes int64
	// MinRequests and MaxRequests bound the requests in flight. The limit starts at
	// the upper bound, halves when the store asks for less and grows back slowly.
	MinRequests, MaxRequests int
	// UploadBytesPerSecond bounds what uploads send; 0 is no limit.
	UploadBytesPerSecond int64
	// Attempts is how often a request is sent before the caller learns of it.
	Attempts int
	// FirstPause bounds the pause before the second attempt; the bound doubles with
	// each attempt up to LastPause, and the pause is anything below it.
	FirstPause, LastPause time.Duration
	// Stall is how long a request may move no byte; longer counts as lost.
	Stall time.Duration
	// MissingAttempts is how often a read asks for a key that is not there: some
	// stores answer from a replica that has not heard of it yet.
	MissingAttempts int
	// MinFreeBytes is what a Put to file:// leaves free on the disk; with less it
	// fails, and may be tried again. The metadata is on the same disk in small set-ups,
	// and cannot go on without room. 0 checks nothing.
	MinFreeBytes int64
}

// DefaultConfig suits a broker with a few cores and a store in its region.
func DefaultConfig() Config {
	return Config{
		PartBytes:               8 << 20,
		PartConcurrency:         4,
		MultipartThresholdBytes: 256 << 20,
		MinRequests:             2,
		MaxRequests:             64,
		Attempts:                8,
		FirstPause:              100 * time.Millisecond,
		LastPause:               5 * time.Second,
		Stall:                   20 * time.Second,
		MissingAttempts:         3,
	}
}

// leastBandwidth keeps a limited upload from looking stalled.
const leastBandwidth = 64 << 10

// Validate says which setting is out of its bounds, and what they are.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("object store: "+format, args...))
		}
	}
	check(c.PartBytes >= 5<<20 && c.PartBytes <= 1<<30, "part_bytes is %d: it must be from 5 MiB to 1 GiB", c.PartBytes)
	check(c.PartConcurrency >= 1 && c.PartConcurrency <= 64, "part_concurrency is %d: it must be from 1 to 64", c.PartConcurrency)
	check(c.MultipartThresholdBytes >= 0 && c.MultipartThresholdBytes <= 5<<30, "multipart_threshold_bytes is %d: it must be from 0 to 5 GiB", c.MultipartThresholdBytes)
	check(c.MinRequests >= 1, "min_requests is %d: it must be at least 1", c.MinRequests)
	check(c.MaxRequests >= c.MinRequests, "max_requests is %d: it must be at least min_requests, %d", c.MaxRequests, c.MinRequests)
	check(validBandwidth(c.UploadBytesPerSecond), "upload_bytes_per_second is %d: it must be 0 for no limit, or at least %d", c.UploadBytesPerSecond, leastBandwidth)
	check(c.Attempts >= 1, "attempts is %d: it must be at least 1", c.Attempts)
	check(c.FirstPause > 0 && c.LastPause >= c.FirstPause, "the pauses are %s and %s: the first must be above 0 and the last not below it", c.FirstPause, c.LastPause)
	check(c.Stall > 0, "stall is %s: it must be above 0", c.Stall)
	check(c.MissingAttempts >= 1, "missing_attempts is %d: it must be at least 1", c.MissingAttempts)
	return errors.Join(errs...)
}

func validBandwidth(n int64) bool { return n == 0 || n >= leastBandwidth }

// The names under which Tune knows settings.
const (
	TuneUploadBytesPerSecond = "upload_bytes_per_second"
	TuneMaxRequests          = "max_requests"
)

// Tunables returns the settings that Tune changes, with their values.
func (s *Store) Tunables() map[string]int64 {
	return map[string]int64{TuneUploadBytesPerSecond: s.bandwidth.get(), TuneMaxRequests: int64(s.limit.ceiling())}
}

// Tune changes one setting; it holds at once, for what is under way too.
func (s *Store) Tune(key string, value int64) error {
	switch {
	case key == TuneUploadBytesPerSecond && validBandwidth(value):
		s.bandwidth.set(value)
	case key == TuneMaxRequests && value >= int64(s.cfg.MinRequests) && value <= 1<<20:
		s.limit.setCeiling(int(value))
	default:
		return fmt.Errorf("object store: %s cannot be %d: it takes %s (0, or %d and more) and %s (%d and more)",
			key, value, TuneUploadBytesPerSecond, leastBandwidth, TuneMaxRequests, s.cfg.MinRequests)
	}
	return nil
}
