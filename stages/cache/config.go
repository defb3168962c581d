package cache

import "github.com/sluicemq/sluice/internal/setting"

// Config has the limit of the cache.
type Config struct {
	// Cache of the newest data, for consumers at the tail: as long as it reaches back to their
	// position, they do not read from disk. Uploads read from it too. If it cannot hold
	// wal.upload_size_bytes plus what arrives during an upload, uploads read the WAL from disk
	// and compete with producers.
	SizeBytes int64 `toml:"write_cache_size_bytes" default:"224Mi" range:"1Mi.."`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
