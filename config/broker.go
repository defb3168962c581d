package config

import (
	"time"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/group"
	"github.com/sluicemq/sluice/egress/fetch"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/logmetrics"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/quicnet"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/stages/cache"
	"github.com/sluicemq/sluice/stages/compact"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/readcache"
	"github.com/sluicemq/sluice/stages/retain"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// Broker has all settings of a broker.
type Broker struct {
	Broker        BrokerProcess           `toml:"broker" default:"data_directory=/var/lib/sluice"`
	Network       Network                 `toml:"network"`
	TLS           certs.Config            `toml:"tls"`
	WAL           WAL                     `toml:"wal"`
	ObjectStorage ObjectStorage           `toml:"object_storage"`
	Retention     retain.Config           `toml:"retention"`
	Compaction    compact.Config          `toml:"compaction"`
	Cache         Cache                   `toml:"cache"`
	Memory        memory.Config           `toml:"memory"`
	Replication   kafka.ReplicationConfig `toml:"replication"`
	Topics        kafka.TopicsConfig      `toml:"topics"`
	Requests      kafka.RequestsConfig    `toml:"requests"`
	Fetch         fetch.Config            `toml:"fetch"`
	Producers     Producers               `toml:"producers"`
	Groups        group.Config            `toml:"groups"`
	// Limits of the pipeline stages, in the order in which data passes them: depth is the
	// length of the queue before a stage, workers is the number of goroutines that run it.
	// Whatever the depths, queued data stays within the memory budgets. GET /topology shows
	// where time is spent; `sluice config set limits` changes limits at run time.
	Stages   Stages           `toml:"stages"`
	Metadata consensus.Config `toml:"metadata"`
	Admin    BrokerAdmin      `toml:"admin"`
	Tracing  Tracing          `toml:"tracing"`
	Log      Log              `toml:"log"`
}

// Identity says who a process is and where it keeps its files.
type Identity struct {
	// The ID of this process. It must be unique among the brokers, or controllers, of the
	// cluster and must never change, because partitions and metadata refer to it.
	ID int32 `toml:"id" default:"1" range:"0..2147483647"`
	// Where the process runs, such as an availability zone. Clients that prefer nearby
	// brokers are told.
	Rack string `toml:"rack"`
	// Holds everything the process keeps on disk. Relative paths elsewhere in this file
	// are relative to it.
	DataDirectory string `toml:"data_directory"`
}

// BrokerProcess is a broker as a process.
type BrokerProcess struct {
	Identity
	// The longest a shutdown may take. Clients get half of it to receive their responses;
	// clients that do not read them are disconnected. Work on the object store is not waited
	// for. Acknowledged records are safe either way.
	ShutdownGrace time.Duration `toml:"shutdown_grace_ms" default:"5s" range:"1s..1h"`
}

// Network says where clients come in and what a connection may do.
type Network struct {
	listener.Config
	Requests kafka.ServerConfig
	QUIC     quicnet.Config
}

// WAL has the settings of the write-ahead log and of when it is uploaded.
type WAL struct {
	// Directory of the write-ahead log (WAL). A dedicated disk, ideally NVMe, gives the
	// lowest latency.
	Directory string `toml:"directory" default:"wal"`
	wal.Config
	Upload upload.CutConfig
	Disk   blockfs.Options
}

// ObjectStorage says where the durable copy of everything is, and how it is written and read.
type ObjectStorage struct {
	// Where all data is durably stored: s3://BUCKET, gs://BUCKET, azblob://CONTAINER,
	// file:///DIRECTORY, or mem:// for tests, which loses everything on exit. Empty means
	// objects/ in the data directory.
	URL        string `toml:"url"`
	Upload     upload.ObjectConfig
	Read       objectfetch.Config
	Unreadable unreadable.Config
	Store      objectstore.Config
}

// Cache has the sizes of the two caches.
type Cache struct {
	Write cache.Config
	Read  readcache.Config
}

// Producers has the settings of idempotent producers.
type Producers struct {
	idempotence.Config
	IDs kafka.ProducerIDsConfig
}

// BrokerAdmin says where metrics, health and topology are served, and how many metrics.
type BrokerAdmin struct {
	adminhttp.Settings
	Metrics logmetrics.Config
}

// Tracing says where spans of requests go.
type Tracing struct {
	// OTLP/gRPC endpoint for traces of fetch and produce requests: "http://HOST:4317", or
	// "https://HOST:4317" for TLS. Empty disables tracing at no cost.
	OTLPEndpoint string `toml:"otlp_endpoint"`
	// Fraction of requests that are traced, from 0 to 1.
	SampleRatio float64 `toml:"sample_ratio" default:"0.01" range:"0..1"`
}

// Log says what is logged, and how.
type Log struct {
	// debug, info, warn or error.
	Level string `toml:"level" default:"info" live:"log"`
	// "text" for people, "json" for machines.
	Format string `toml:"format" default:"text" oneof:"text|json"`
}

// DefaultBroker returns what holds where a file says nothing. All that memory
// is charged to comes to 892 MiB when everything is full at once, so that a broker runs
// in 1 GiB; none of it is taken before it is needed.
func DefaultBroker() Broker { return setting.Default[Broker]() }
