package node

import (
	"log/slog"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/egress/fetch"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/quicnet"
	"github.com/sluicemq/sluice/stages/compact"
	"github.com/sluicemq/sluice/stages/upload"
)

// Config has the settings of a broker, and the configurations of its parts derived from them.
type Config struct {
	// Settings are those of the settings file. Changes of limits at run time are validated against
	// them, like a file.
	Settings config.Broker

	Cluster   consensus.Config
	Storage   StorageConfig
	Listeners ListenersConfig
	API       kafka.APIConfig
	Fetch     fetch.Config
	// Admin configures the admin server, including the hosts it answers for.
	Admin adminhttp.Config
	// LogLevel is the level of the logger passed to Run. Clients can read and change it.
	LogLevel *slog.LevelVar
}

// StorageConfig says where records are stored, and whether to start with a disk or an object store
// that is not in the expected state.
type StorageConfig struct {
	WALDirectory string
	// WALGuard is the directory of the WAL's guard, which records how far the WAL has got. It is
	// outside of the WAL's directory.
	WALGuard string
	// AcceptLostWAL makes the broker start although the WAL is missing, belongs to another broker,
	// or lacks acknowledged records. It is for one start.
	AcceptLostWAL bool
	// AcceptLostMetadata makes the broker start although the metadata is older than the WAL. It is
	// for one start.
	AcceptLostMetadata bool
	// AcceptOtherStore makes the broker take over an object store that belongs to another cluster,
	// or is not the one it was. It is for one start.
	AcceptOtherStore bool
	ObjectURL        string
	Objects          objectstore.Config
	Upload           upload.Config
	Compact          compact.Config
}

// ListenersConfig configures the listeners for clients.
type ListenersConfig struct {
	listener.Config
	Rack string
	// TLS is used by QUIC, and by TCP unless that is plaintext.
	TLS  certs.ServerFiles
	QUIC quicnet.Config
	// MemoryBytes limits the memory of connections and streams, including QUIC windows.
	MemoryBytes int64
}
