package idempotence

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of what is remembered of idempotent producers.
type Config struct {
	// How long an idle idempotent producer is remembered. A later retry is treated as a new
	// record.
	Expiration time.Duration `toml:"expiration_ms" default:"24h" range:"1m.."` // producer.id.expiration.ms
	// Memory for the state of idempotent producers: 112 bytes per producer and partition, 176
	// with more than one batch, and three eighths for snapshots being written and read. When
	// it is used up the producers idle longest are forgotten, as if they had expired.
	MemoryBytes int64 `toml:"memory_bytes" default:"80Mi" range:"8Mi.."`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
