package fetch

import (
	"errors"
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of the server.
type Config struct {
	// Maximum response size, whatever the client asks for. A single larger batch is still
	// returned, on its own.
	MaxBytes int `toml:"max_bytes" default:"55Mi" range:"1Ki..2147483647"` // fetch.max.bytes
	// The longest wait for new records, whatever the client asks for.
	MaxWait time.Duration `toml:"max_wait_ms" default:"5m" range:"1ms.."`
	// Maximum fetch sessions, and partitions in all of them. A client without a session names
	// its partitions in every request; nothing else changes for it.
	Sessions          int `toml:"max_sessions" default:"1000" range:"0.."` // max.incremental.fetch.session.cache.slots
	SessionPartitions int `toml:"max_session_partitions" default:"500000" range:"0.."`
	// Memory for all sessions together: about 400 bytes per partition.
	SessionBytes int64 `toml:"max_session_bytes" default:"24Mi" range:"0.."` // as estimated by slotBytes and the lengths of topics' names
	// How long a session must be idle before it may be evicted.
	SessionIdle time.Duration `toml:"session_idle_ms" default:"2m" range:"0s.."`

	// BudgetBytes bounds the record bytes of all answers between reading them and
	// having written them. More fetches wait for their turn.
	BudgetBytes int64
	// WaitingBytes bounds what requests take from their arrival until their answers are
	// sent, but for records. When there is no more room, polls that wait are answered
	// early with what there is.
	WaitingBytes int64
}

// DefaultConfig returns the defaults, for sessions those of Kafka. The budgets are not set.
func DefaultConfig() Config { return setting.Default[Config]() }

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }

// validateBudgets reports budgets that cannot work.
func (c Config) validateBudgets() error {
	switch {
	case c.BudgetBytes < int64(c.MaxBytes):
		return errors.New("fetch: the budget must have room for one answer of max bytes")
	case c.WaitingBytes < 8*pollBytes:
		return errors.New("fetch: there must be room for some requests that wait")
	}
	return nil
}
