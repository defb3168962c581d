package fetch

import (
	"errors"
	"time"
)

// Config has the limits of the server.
type Config struct {
	// MaxBytes bounds one answer, whatever the client asks for (Kafka's
	// fetch.max.bytes). A single larger batch is still returned, alone.
	MaxBytes int
	// BudgetBytes bounds the record bytes of all answers between reading them and
	// having written them. More fetches wait for their turn.
	BudgetBytes int64
	// WaitingBytes bounds what requests take from their arrival until their answers are
	// sent, but for records. When there is no more room, polls that wait are answered
	// early with what there is.
	WaitingBytes int64
	// MaxWait bounds the long poll, whatever the client asks for.
	MaxWait time.Duration
	// Sessions and SessionPartitions bound what is remembered for fetch sessions
	// (Kafka's max.incremental.fetch.session.cache.slots). A client that gets no
	// session names all its partitions in every request; nothing else changes.
	Sessions          int
	SessionPartitions int
	// SessionBytes bounds what all sessions take of memory, as estimated by slotBytes and
	// the lengths of topics' names.
	SessionBytes int64
	// SessionIdle is how long a session must have been idle before it may be
	// dropped to make room.
	SessionIdle time.Duration
}

// DefaultConfig returns the defaults: sessions as in Kafka, 512 MiB of answers.
func DefaultConfig() Config {
	return Config{MaxBytes: 55 << 20, BudgetBytes: 512 << 20, WaitingBytes: 8 << 20, MaxWait: 5 * time.Minute,
		Sessions: 1000, SessionPartitions: 500_000, SessionBytes: 48 << 20, SessionIdle: 2 * time.Minute}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.MaxBytes < 1<<10:
		return errors.New("fetch: max bytes must be at least 1 KiB")
	case c.BudgetBytes < int64(c.MaxBytes):
		return errors.New("fetch: the budget must have room for one answer of max bytes")
	case c.WaitingBytes < 8*pollBytes:
		return errors.New("fetch: there must be room for some requests that wait")
	case c.MaxWait <= 0:
		return errors.New("fetch: max wait must be positive")
	case c.Sessions < 0 || c.SessionPartitions < 0 || c.SessionBytes < 0 || c.SessionIdle < 0:
		return errors.New("fetch: session limits must not be negative; 0 sessions turns sessions off")
	}
	return nil
}
