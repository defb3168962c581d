package node

import (
	"errors"
	"log/slog"
	"time"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/group"
	"github.com/sluicemq/sluice/egress/fetch"
	"github.com/sluicemq/sluice/ingress/admission"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/logmetrics"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// Config has the settings of a broker, one field for each part.
type Config struct {
	// Broker is this node's id, unique in the cluster and kept for its life.
	Broker  int32
	Cluster consensus.Config
	Storage StorageConfig
	Doors   DoorsConfig
	Kafka   kafka.ServerConfig
	API     kafka.APIConfig
	Fetch   fetch.Config
	Groups  group.Config
	Tracing TracingConfig
	// AdminListen is where metrics, health and topology are served; empty: nowhere.
	AdminListen string
	// Admin says whom it answers.
	Admin adminhttp.Config
	// Metrics bounds those of topics, partitions and groups.
	Metrics logmetrics.Config
	// RequestBudgetBytes bounds the request frames in the broker at once. When it
	// is used up sockets are not read any more.
	RequestBudgetBytes int64
	// MemoryLimitBytes is what the limits of everything must fit into, also those that
	// are changed while the broker runs. 0: no limit.
	MemoryLimitBytes int64
	// LogLevel is the level of the log that Run is given. Clients see and change it.
	LogLevel *slog.LevelVar
	// Grace bounds how long a stop takes; see stop.go.
	Grace time.Duration
}

// DoorsConfig says where clients come in.
type DoorsConfig struct {
	// QUICListen and TCPListen are host:port; empty closes that door. Both may
	// have the same port number.
	QUICListen, TCPListen string
	// AdvertisedHost and AdvertisedPort are what clients are told to connect to.
	// Empty and 0 mean what is listened on.
	AdvertisedHost string
	AdvertisedPort int32
	Rack           string
	// TLS is used by QUIC, and by TCP unless PlaintextTCP.
	TLS          certs.ServerFiles
	PlaintextTCP bool
	QUIC         quicnet.Config
	// Connections bounds connections of all doors, ConnectionsPerIP those of one
	// client address, Streams those of one QUIC connection.
	Connections, ConnectionsPerIP, Streams int
	// MemoryBytes is what connections and streams may take, with QUIC's windows.
	MemoryBytes int64
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	if c.Broker < 0 {
		return errors.New("the broker id must not be negative")
	}
	if c.Doors.QUICListen == "" && c.Doors.TCPListen == "" {
		return errors.New("nothing to listen on: set network.quic_listen or network.tcp_listen")
	}
	if c.Grace <= 0 {
		return errors.New("the time that a stop may take must be positive")
	}
	produce, other := c.Kafka.FrameMemory()
	if most, rest := admission.Largest(c.RequestBudgetBytes); most < produce || rest < other {
		return errors.New("the request budget has no room for the largest request; raise it or lower the largest frame")
	}
	if c.Doors.QUICListen != "" {
		if err := c.Doors.QUIC.Validate(); err != nil {
			return err
		}
	}
	return errors.Join(c.Cluster.Validate(), c.Storage.Validate(), c.Kafka.Validate(), c.API.Validate(), c.Fetch.Validate(), c.Groups.Validate(), c.Metrics.Validate())
}

// Validate reports a setting that cannot work.
func (c StorageConfig) Validate() error {
	var errs []error
	if c.Lanes < 1 || c.Lanes > 1024 {
		errs = append(errs, errors.New("from 1 to 1024 sequencing lanes are possible"))
	}
	if c.WriteCacheBytes < 1<<20 || c.ReadCacheBytes < 1<<20 || c.ImageBytes < 4<<20 {
		errs = append(errs, errors.New("the caches need at least 1 MiB each, WAL images 4 MiB"))
	}
	return errors.Join(append(errs, c.Objects.Validate(), c.Producers.Validate(), c.WAL.Validate(), c.Upload.Validate(), c.Retain.Validate(), c.Compact.Validate(), c.Batch.Validate(), c.Fetch.Validate(), c.Unreadable.Validate())...)
}
