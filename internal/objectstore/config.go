package objectstore

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the settings of a Store. Those about requests hold for stores behind
// HTTP; file:// and mem:// heed the bandwidth alone.
type Config struct {
	// Uploads up to this size go to S3 and Azure in a single request, since requests are what
	// they charge for; one connection may be slower than several. 0 always uploads in parts.
	MultipartThresholdBytes int64 `toml:"multipart_threshold_bytes" default:"256Mi" range:"0..5Gi"`
	// Size of the parts that larger objects, and those written by compaction, are uploaded in
	// (at least 5 MiB), and how many parts of one object are sent concurrently.
	PartBytes       int64 `toml:"part_size_bytes" default:"8Mi" range:"5Mi..1Gi"`
	PartConcurrency int   `toml:"part_concurrency" default:"4" range:"1..64"`
	// Bandwidth limit for uploads; 0 means none. If it is below the produce rate, the WAL
	// fills up.
	UploadBytesPerSecond int64 `toml:"upload_bytes_per_second" default:"0" range:"0.."`
	// Bounds on the number of requests in flight. The limit starts at the maximum, halves when
	// the store throttles, and recovers slowly.
	MinRequests int `toml:"min_requests" default:"2" range:"1..1Mi"`
	MaxRequests int `toml:"max_requests" default:"64" range:"1..1Mi"`
	// Attempts per request before it fails. Retries back off exponentially with jitter, from
	// the first pause to the last.
	Attempts   int           `toml:"attempts" default:"8" range:"1..1000"`
	FirstPause time.Duration `toml:"first_pause_ms" default:"100ms" range:"1ms..1h"`
	LastPause  time.Duration `toml:"last_pause_ms" default:"5s" range:"1ms..1h"`
	// How long a request may make no progress before it counts as lost.
	Stall time.Duration `toml:"stall_ms" default:"20s" range:"1ms..1h"`
	// Attempts to read a key that is missing: some stores answer from a replica that does not
	// have it yet.
	MissingAttempts int `toml:"missing_attempts" default:"3" range:"1..1000"`

	// MinFreeBytes is what a Put to file:// leaves free on the disk; with less it
	// fails, and may be tried again. The metadata is on the same disk in small set-ups,
	// and cannot go on without room. 0 checks nothing.
	MinFreeBytes int64
}

// DefaultConfig suits a broker with a few cores and a store in its region.
func DefaultConfig() Config { return setting.Default[Config]() }

// leastBandwidth keeps a limited upload from looking stalled.
const leastBandwidth = 64 << 10

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.NotBelow("max_requests", int64(c.MaxRequests), "min_requests", int64(c.MinRequests))
	p.NotBelow("last_pause_ms", c.LastPause.Milliseconds(), "first_pause_ms", c.FirstPause.Milliseconds())
	p.Require(c.UploadBytesPerSecond == 0 || c.UploadBytesPerSecond >= leastBandwidth,
		"{upload_bytes_per_second} must be 0 for no limit, or at least %d, not %d", leastBandwidth, c.UploadBytesPerSecond)
	return p.Err()
}
