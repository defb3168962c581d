package readcache

import "github.com/sluicemq/sluice/internal/setting"

// Config has the limit of the cache.
type Config struct {
	// Cache of object blocks, for consumers that catch up. It is separate so that neither
	// cache evicts the other's data.
	SizeBytes int64 `toml:"read_cache_size_bytes" default:"48Mi" range:"1Mi.."`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
