package objectfetch

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of the stage.
type Config struct {
	// The largest range request. Higher values read history faster and use more memory per
	// reader.
	RunBytes int64 `toml:"read_range_bytes" default:"4Mi" range:"64Ki..1Gi"`
	// Maximum read-ahead for a sequential consumer; it starts smaller. All read-ahead together
	// uses at most half of cache.read_cache_size_bytes. 0 disables it.
	AheadBytes int64 `toml:"read_ahead_bytes" default:"16Mi" range:"0..1Gi"`
	// Maximum concurrent read-ahead requests, for all consumers together.
	AheadRequests int `toml:"read_ahead_requests" default:"4" range:"1..1024"`
	// Memory for reads that consumers wait for: three quarters for requests in flight, one
	// quarter for data that arrived after its consumers stopped waiting. Higher values let a
	// slow store serve more consumers at once. At least twice read_range_bytes.
	RequestBytes int64 `toml:"read_memory_bytes" default:"24Mi" range:"1Mi..64Gi"`
	// How long a read may take, including retries. Consumers do not wait that long: they get
	// what is available and find the rest when they ask again.
	RequestTimeout time.Duration `toml:"read_timeout_ms" default:"1m" range:"1s..1h"`

	// AheadIdle is how long a reader must have been idle before what was read ahead for it
	// makes room for others.
	AheadIdle time.Duration `default:"5s"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require(c.RequestBytes >= 2*c.RunBytes, "{read_memory_bytes} (%d) must be at least twice {read_range_bytes} (%d)", c.RequestBytes, c.RunBytes)
	return p.Err()
}
