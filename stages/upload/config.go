package upload

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the limits of uploads: when something is uploaded, as what, and with which
// memory.
type Config struct {
	CutConfig
	ObjectConfig

	// ObjectMemory is what one object under way takes of memory.
	ObjectMemory int64
	// ProducerExpiration is how long an idle idempotent producer is kept in the
	// snapshots.
	ProducerExpiration time.Duration
	// SectionBytes is how large a snapshot of a partition's idempotent producers may
	// be. Merging two takes four times as much of memory.
	SectionBytes int64
}

// CutConfig says what is uploaded together. In a file it is with the WAL, which it keeps
// from filling up.
type CutConfig struct {
	// Amount of committed data that triggers an upload. Higher values mean fewer, larger
	// objects and a longer recovery.
	SizeBytes int64 `toml:"upload_size_bytes" default:"128Mi" range:"1Mi.." live:"upload/ledger/size_bytes"`
	// The longest committed data waits for upload.
	Interval time.Duration `toml:"upload_interval_ms" default:"10m" range:"1s.." live:"upload/ledger/interval_ms"`
}

// Validate reports settings that cannot work.
func (c CutConfig) Validate() error { return setting.Check(c) }

// ObjectConfig says how objects are written and deleted.
type ObjectConfig struct {
	// A partition with at least this much data in an upload gets its own object, which can be
	// read without reading past other partitions.
	OwnObjectBytes int64 `toml:"own_object_size_bytes" default:"16Mi" range:"1Mi.."`
	// Objects of an upload that are written concurrently.
	Concurrency int `toml:"upload_concurrency" default:"4" range:"1..256"`
	// How long writing an object may take before it is abandoned and deleted.
	PrepareTTL time.Duration `toml:"prepare_timeout_ms" default:"1h" range:"1m.."`
	// Interval between garbage collections, which delete unreferenced objects.
	SweepInterval time.Duration `toml:"garbage_check_interval_ms" default:"1m" range:"100ms.." live:"upload/upload"`
}

// Validate reports settings that cannot work.
func (c ObjectConfig) Validate() error { return setting.Check(c) }

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }

// DefaultConfig returns 128 MiB or ten minutes. What follows from the settings of others is
// not set.
func DefaultConfig() Config { return setting.Default[Config]() }
