package kafka

import (
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// ServerConfig has the limits of connections.
type ServerConfig struct {
	// Maximum requests in flight per connection. Beyond it the broker stops reading from
	// the connection.
	Outstanding int `toml:"max_outstanding_requests" default:"256" range:"1..1Mi"`
	// The largest produce request. A larger one closes its connection.
	MaxFrameBytes int `toml:"max_request_bytes" default:"64Mi" range:"1Ki..2147483647"`
	// The largest request of any other kind.
	MaxControlBytes int `toml:"max_control_request_bytes" default:"8Mi" range:"1Ki..2147483647"`
	// Closes a connection that has been idle for this long with no request in flight.
	IdleTimeout time.Duration `toml:"idle_timeout_ms" default:"10m" range:"1ms.."`
	// After the grace period a request must arrive, and a response must be read, at this
	// rate at least, or the connection is closed. Time the broker itself spends waiting for
	// memory does not count.
	StallGrace        time.Duration `toml:"stall_grace_ms" default:"10s" range:"1ms.."`
	MinBytesPerSecond int           `toml:"min_bytes_per_second" default:"16Ki" range:"1.."`
	// The longest a single request or response may take to transfer, whatever its rate, and
	// the longest a new connection may take to send its first request.
	TransferTimeout time.Duration `toml:"transfer_timeout_ms" default:"2m" range:"1ms.."`
}

// DefaultServerConfig returns the defaults, Kafka's where it has them.
func DefaultServerConfig() ServerConfig { return setting.Default[ServerConfig]() }

// Validate reports settings that cannot work.
func (c ServerConfig) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.NotBelow("transfer_timeout_ms", c.TransferTimeout.Milliseconds(), "stall_grace_ms", c.StallGrace.Milliseconds())
	return p.Err()
}

// FrameMemory is what the largest produce request, and the largest other, take of
// the memory budget.
func (c ServerConfig) FrameMemory() (produce, other int64) {
	return frameMemory(c.MaxFrameBytes), frameMemory(c.MaxControlBytes)
}

// APIConfig has what handlers promise to clients and the bounds they keep to.
type APIConfig struct {
	TopicsConfig      `toml:"topics"`
	ReplicationConfig `toml:"replication"`
	RequestsConfig    `toml:"requests"`
	ProducerIDsConfig `toml:"producers"`
}

// DefaultAPIConfig returns the defaults of a cluster.
func DefaultAPIConfig() APIConfig { return setting.Default[APIConfig]() }

// Validate reports settings that cannot work.
func (c APIConfig) Validate() error { return setting.Check(c) }

// TopicsConfig has the defaults and bounds of topics.
type TopicsConfig struct {
	// Creates a topic when a client asks for one that does not exist. Convenient in
	// development, but a typo creates a topic.
	AutoCreateTopics bool `toml:"auto_create"`
	// Partitions of topics created without a number of them.
	Partitions int32 `toml:"default_partitions" default:"1" range:"1..1Mi"`
	// Maximum partitions per topic and in total. Each uses memory.
	TopicPartitions   int32 `toml:"max_partitions_per_topic" default:"10000" range:"1..1Mi"`
	ClusterPartitions int32 `toml:"max_partitions" default:"200000" range:"1..16Mi"`
}

// Validate reports settings that cannot work.
func (c TopicsConfig) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.NotBelow("max_partitions_per_topic", int64(c.TopicPartitions), "default_partitions", int64(c.Partitions))
	p.NotBelow("max_partitions", int64(c.ClusterPartitions), "max_partitions_per_topic", int64(c.TopicPartitions))
	return p.Err()
}

// ReplicationConfig says how many brokers have the records of a topic.
type ReplicationConfig struct {
	// Replication factor of topics created without one; lowered to the number of brokers.
	Replication int16 `toml:"default_factor" default:"1" range:"1..32"`
	// min.insync.replicas of topics created without it: the replicas that must have a record
	// before acks=all acknowledges it, at most all of them. It becomes a config of the topic.
	MinInSyncReplicas int32 `toml:"min_in_sync_replicas" default:"1" range:"1..32"`
}

// Validate reports settings that cannot work.
func (c ReplicationConfig) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require(c.MinInSyncReplicas <= int32(c.Replication), "{min_in_sync_replicas} (%d) must not be above {default_factor} (%d)", c.MinInSyncReplicas, c.Replication)
	return p.Err()
}

// RequestsConfig bounds what one request may ask for.
type RequestsConfig struct {
	// Maximum partitions or topics named in one request. A client that names more is
	// disconnected.
	RequestPartitions int `toml:"max_partitions" default:"100000" range:"1.."`
	// The same for requests that change or describe topics, which cost far more per topic.
	RequestChanges int `toml:"max_changes" default:"10000" range:"1.."`
	// Maximum concurrent metadata changes, and searches by time, for all clients together.
	Changes int `toml:"max_concurrent_changes" default:"64" range:"1..64Ki"`
	// Timeout of changes whose client asked for a longer one or none.
	ChangeTimeout time.Duration `toml:"change_timeout_ms" default:"30s" range:"1ms.."`
}

// ProducerIDsConfig says how producer IDs are allocated.
type ProducerIDsConfig struct {
	// Producer IDs allocated from the metadata at a time. Unused IDs of a block are lost on
	// restart; there are 2^63.
	ProducerIDBlock int32 `toml:"id_block_size" default:"1000" range:"1..1Mi"`
}
