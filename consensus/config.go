package consensus

import (
	"time"

	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/setting"
)

// Config has the settings of a node's part in the metadata.
type Config struct {
	quorum.Config
	// How long an unreferenced object is kept for readers that still refer to it.
	Grace time.Duration `toml:"garbage_grace_ms" default:"1m" range:"0s.."`
	// How long after object_storage.prepare_timeout_ms an abandoned PUT may still reach the
	// object store, delayed in the network, in the store or in a suspended broker. A deleted
	// object is remembered until then and deleted again, since such a PUT would bring it back.
	// Lower values may leave orphaned objects behind.
	LatePutGrace time.Duration `toml:"late_put_grace_ms" default:"24h" range:"0s.."` // makes up for clocks that differ, too

	// ProducerExpiration is after how long snapshots of idempotent producers are
	// dropped in which nobody has written since; 0 keeps them.
	ProducerExpiration time.Duration
}

// DefaultConfig returns the settings of a node alone.
func DefaultConfig(directory string) Config {
	c := setting.Default[Config]()
	c.Directory = directory
	return c
}

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	return setting.Check(c)
}
