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

// Config has the settings of a broker, and what parts of it get that follows from them.
type Config struct {
	// Settings are those of the file. Limits that are changed while the broker runs are
	// checked with them, as a file would be.
	Settings config.Broker

	Cluster   consensus.Config
	Storage   StorageConfig
	Listeners ListenersConfig
	API       kafka.APIConfig
	Fetch     fetch.Config
	// Admin says whom the admin server answers.
	Admin adminhttp.Config
	// LogLevel is the level of the log that Run is given. Clients see and change it.
	LogLevel *slog.LevelVar
}

// StorageConfig says where records are, and what is done with a disk or a store that is not
// as it was left.
type StorageConfig struct {
	WALDirectory string
	// WALGuard is the directory that says how far the WAL has got, outside of it.
	WALGuard string
	// AcceptLostWAL has the broker start although the WAL is missing, another's, or lacks
	// what was acknowledged. It is for one start.
	AcceptLostWAL bool
	// AcceptLostMetadata has the broker start although the metadata is older than the WAL. It is for one start.
	AcceptLostMetadata bool
	// AcceptOtherStore has the broker take over an object store that is another's, or not
	// the one that it was. It is for one start.
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
