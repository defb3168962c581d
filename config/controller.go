package config

import (
	"time"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/setting"
)

// Controller has all settings of a controller.
type Controller struct {
	Controller ControllerProcess  `toml:"controller" default:"data_directory=/var/lib/sluice-controller"`
	Metadata   consensus.Config   `toml:"metadata"`
	Admin      adminhttp.Settings `toml:"admin"`
	Log        Log                `toml:"log"`
}

// ControllerProcess is a controller as a process.
type ControllerProcess struct {
	Identity
	// How long a shutdown waits for requests to the admin server.
	ShutdownGrace time.Duration `toml:"shutdown_grace_ms" default:"5s" range:"1s..1h"`
}

// DefaultController returns what holds where a file says nothing.
func DefaultController() Controller { return setting.Default[Controller]() }
