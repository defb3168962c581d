package unreadable

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config sets when records count as lost.
type Config struct {
	// How long an object, or part of one, must be missing or damaged before consumers get an
	// error they do not retry. See docs/operations.md.
	LastingAfter time.Duration `toml:"unreadable_after_ms" default:"30s" range:"100ms..24h"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
