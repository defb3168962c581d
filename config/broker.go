package config

// Broker has all settings of a broker. The keys of the file are the toml tags;
// broker.toml says of each what it does.
type Broker struct {
	Broker        Identity      `toml:"broker"`
	Network       Network       `toml:"network"`
	TLS           TLS           `toml:"tls"`
	WAL           WAL           `toml:"wal"`
	ObjectStorage ObjectStorage `toml:"object_storage"`
	Retention     Retention     `toml:"retention"`
	Compaction    Compaction    `toml:"compaction"`
	Cache         Cache         `toml:"cache"`
	Memory        Memory        `toml:"memory"`
	Replication   Replication   `toml:"replication"`
	Topics        Topics        `toml:"topics"`
	Requests      Requests      `toml:"requests"`
	Fetch         Fetch         `toml:"fetch"`
	Producers     Producers     `toml:"producers"`
	Groups        Groups        `toml:"groups"`
	Stages        Stages        `toml:"stages"`
	Metadata      Metadata      `toml:"metadata"`
	Admin         BrokerAdmin   `toml:"admin"`
	Tracing       Tracing       `toml:"tracing"`
	Log           Log           `toml:"log"`
}

// Identity says who the process is and where it keeps its files.
type Identity struct {
	ID              int    `toml:"id"`
	Rack            string `toml:"rack"`
	DataDirectory   string `toml:"data_directory"`
	ShutdownGraceMs int64  `toml:"shutdown_grace_ms"`
}

// Network says where clients come in and what a connection may do.
type Network struct {
	QUICListen                string `toml:"quic_listen"`
	TCPListen                 string `toml:"tcp_listen"`
	TCPPlaintext              string `toml:"tcp_plaintext"`
	AdvertisedHost            string `toml:"advertised_host"`
	AdvertisedPort            int    `toml:"advertised_port"`
	MaxConnections            int    `toml:"max_connections"`
	MaxConnectionsPerIP       int    `toml:"max_connections_per_ip"`
	MaxStreamsPerConnection   int    `toml:"max_streams_per_connection"`
	MaxOutstandingRequests    int    `toml:"max_outstanding_requests"`
	MaxRequestBytes           int    `toml:"max_request_bytes"`
	MaxControlRequestBytes    int    `toml:"max_control_request_bytes"`
	IdleTimeoutMs             int64  `toml:"idle_timeout_ms"`
	StallGraceMs              int64  `toml:"stall_grace_ms"`
	MinBytesPerSecond         int    `toml:"min_bytes_per_second"`
	TransferTimeoutMs         int64  `toml:"transfer_timeout_ms"`
	QUICHandshakeTimeoutMs    int64  `toml:"quic_handshake_timeout_ms"`
	QUICIdleTimeoutMs         int64  `toml:"quic_idle_timeout_ms"`
	QUICStreamWindowBytes     int    `toml:"quic_stream_window_bytes"`
	QUICConnectionWindowBytes int    `toml:"quic_connection_window_bytes"`
	QUICReceiveOffload        bool   `toml:"quic_receive_offload"`
}

// TLS says with what the broker proves itself, and whom it lets in.
type TLS struct {
	Generate        bool   `toml:"generate"`
	CertificateFile string `toml:"certificate_file"`
	KeyFile         string `toml:"key_file"`
	ClientCAFile    string `toml:"client_ca_file"`
	ClientAuth      string `toml:"client_auth"`
	MinVersion      string `toml:"min_version"`
}

// WAL has the settings of the write-ahead log and of when it is uploaded.
type WAL struct {
	Directory        string `toml:"directory"`
	SegmentSizeBytes int64  `toml:"segment_size_bytes"`
	CapacityBytes    int64  `toml:"capacity_bytes"`
	UploadSizeBytes  int64  `toml:"upload_size_bytes"`
	UploadIntervalMs int64  `toml:"upload_interval_ms"`
	FsyncOnWrite     bool   `toml:"fsync_on_write"`
	FlushIntervalMs  int64  `toml:"flush_interval_ms"`
	IOEngine         string `toml:"io_engine"`
	WritesInFlight   int    `toml:"writes_in_flight"`
	IdleSealMs       int64  `toml:"idle_seal_ms"`
	MinFreeBytes     int64  `toml:"min_free_bytes"`
}

// ObjectStorage says where the durable copy of everything is.
type ObjectStorage struct {
	URL                  string `toml:"url"`
	OwnObjectSizeBytes   int64  `toml:"own_object_size_bytes"`
	UploadConcurrency    int    `toml:"upload_concurrency"`
	UploadBytesPerSecond int64  `toml:"upload_bytes_per_second"`
	PrepareTimeoutMs     int64  `toml:"prepare_timeout_ms"`
	GarbageCheckMs       int64  `toml:"garbage_check_interval_ms"`
	ReadRangeBytes       int64  `toml:"read_range_bytes"`
	ReadAheadBytes       int64  `toml:"read_ahead_bytes"`
	ReadAheadRequests    int    `toml:"read_ahead_requests"`
	ReadMemoryBytes      int64  `toml:"read_memory_bytes"`
	ReadTimeoutMs        int64  `toml:"read_timeout_ms"`
	UnreadableAfterMs    int64  `toml:"unreadable_after_ms"`
	MultipartThreshold   int64  `toml:"multipart_threshold_bytes"`
	PartSizeBytes        int64  `toml:"part_size_bytes"`
	PartConcurrency      int    `toml:"part_concurrency"`
	MinRequests          int    `toml:"min_requests"`
	MaxRequests          int    `toml:"max_requests"`
	Attempts             int    `toml:"attempts"`
	FirstPauseMs         int64  `toml:"first_pause_ms"`
	LastPauseMs          int64  `toml:"last_pause_ms"`
	StallMs              int64  `toml:"stall_ms"`
	MissingAttempts      int    `toml:"missing_attempts"`
}

// Retention says how often old records are looked for. How long they are kept is
// set for each topic.
type Retention struct {
	CheckIntervalMs  int64 `toml:"check_interval_ms"`
	ChangesPerSecond int   `toml:"changes_per_second"`
}

// Compaction has the limits of what rewrites objects.
type Compaction struct {
	Paused          bool  `toml:"paused"`
	CheckIntervalMs int64 `toml:"check_interval_ms"`
	BytesPerSecond  int64 `toml:"bytes_per_second"`
	MemoryBytes     int64 `toml:"memory_bytes"`
	TargetSizeBytes int64 `toml:"target_size_bytes"`
	MinObjects      int   `toml:"min_objects"`
}

// Cache has the sizes of the two caches.
type Cache struct {
	WriteCacheSizeBytes int64 `toml:"write_cache_size_bytes"`
	ReadCacheSizeBytes  int64 `toml:"read_cache_size_bytes"`
}

// Memory has the budgets of what is on its way.
type Memory struct {
	LimitBytes          int64 `toml:"limit_bytes"`
	ConnectionBytes     int64 `toml:"connection_bytes"`
	RequestBudgetBytes  int64 `toml:"request_budget_bytes"`
	ResponseBudgetBytes int64 `toml:"response_budget_bytes"`
	WALBufferBytes      int64 `toml:"wal_buffer_bytes"`
	TailIndexBytes      int64 `toml:"tail_index_bytes"`
}

// Replication says how many brokers have each record.
type Replication struct {
	DefaultFactor     int `toml:"default_factor"`
	MinInSyncReplicas int `toml:"min_in_sync_replicas"`
}

// Topics has the defaults and bounds of topics.
type Topics struct {
	AutoCreate            bool `toml:"auto_create"`
	DefaultPartitions     int  `toml:"default_partitions"`
	MaxPartitionsPerTopic int  `toml:"max_partitions_per_topic"`
	MaxPartitions         int  `toml:"max_partitions"`
}

// Requests bounds what one request may ask for.
type Requests struct {
	MaxPartitions        int   `toml:"max_partitions"`
	MaxChanges           int   `toml:"max_changes"`
	MaxConcurrentChanges int   `toml:"max_concurrent_changes"`
	ChangeTimeoutMs      int64 `toml:"change_timeout_ms"`
}

// Fetch bounds the answers to consumers.
type Fetch struct {
	MaxBytes             int   `toml:"max_bytes"`
	MaxWaitMs            int64 `toml:"max_wait_ms"`
	MaxSessions          int   `toml:"max_sessions"`
	MaxSessionPartitions int   `toml:"max_session_partitions"`
	MaxSessionBytes      int64 `toml:"max_session_bytes"`
	SessionIdleMs        int64 `toml:"session_idle_ms"`
}

// Producers says how long idempotent producers are remembered, and how many.
type Producers struct {
	ExpirationMs int64 `toml:"expiration_ms"`
	MemoryBytes  int64 `toml:"memory_bytes"`
	IDBlockSize  int   `toml:"id_block_size"`
}

// Groups has the settings of the consumer group coordinator.
type Groups struct {
	InitialRebalanceDelayMs int64 `toml:"initial_rebalance_delay_ms"`
	MinSessionTimeoutMs     int64 `toml:"min_session_timeout_ms"`
	MaxSessionTimeoutMs     int64 `toml:"max_session_timeout_ms"`
	MaxGroups               int   `toml:"max_groups"`
	MaxMembers              int   `toml:"max_members"`
	MaxGroupBytes           int   `toml:"max_group_bytes"`
	MaxMetadataBytes        int64 `toml:"max_metadata_bytes"`
	MaxOffsetMetadataBytes  int   `toml:"max_offset_metadata_bytes"`
	MaxOffsets              int   `toml:"max_offsets"`
	OffsetsRetentionMs      int64 `toml:"offsets_retention_ms"`
	OffsetsCheckIntervalMs  int64 `toml:"offsets_check_interval_ms"`
	Lanes                   int   `toml:"lanes"`
	Queue                   int   `toml:"queue"`
	MaxConcurrentWrites     int   `toml:"max_concurrent_writes"`
	WriteTimeoutMs          int64 `toml:"write_timeout_ms"`
}

// Stages has the limits of each stage of the pipelines, in their order.
type Stages struct {
	Sequence    Lanes `toml:"sequence"`
	Batch       Batch `toml:"batch"`
	WAL         Queue `toml:"wal"`
	Replicate   Queue `toml:"replicate"`
	Join        Queue `toml:"join"`
	Commit      Queue `toml:"commit"`
	Publish     Queue `toml:"publish"`
	Locate      Crew  `toml:"locate"`
	ReadHot     Crew  `toml:"read_cache"`
	WALRead     Crew  `toml:"walread"`
	ReadCold    Crew  `toml:"readcache"`
	ObjectFetch Crew  `toml:"objectfetch"`
	Trim        Crew  `toml:"trim"`
}

// Queue bounds what waits before a stage, in parcels.
type Queue struct {
	Depth int `toml:"depth"`
}

// Lanes is a stage in which each partition has its lane.
type Lanes struct {
	Depth   int `toml:"depth"`
	Workers int `toml:"workers"`
}

// Crew is a stage with any number of workers.
type Crew struct {
	Depth   int `toml:"depth"`
	Workers int `toml:"workers"`
}

// Batch has the limits of the batch stage.
type Batch struct {
	Depth       int   `toml:"depth"`
	LingerUs    int64 `toml:"linger_us"`
	EagerGroups int64 `toml:"eager_groups"`
	TargetBytes int64 `toml:"target_bytes"`
	MaxBytes    int64 `toml:"max_bytes"`
}

// Metadata says where the Raft shards are.
type Metadata struct {
	Directory       string `toml:"directory"`
	Guard           string `toml:"guard"`
	ReserveBytes    int64  `toml:"reserve_bytes"`
	RaftAddress     string `toml:"raft_address"`
	Shards          int    `toml:"shards"`
	TickMs          int64  `toml:"tick_ms"`
	SnapshotEntries int    `toml:"snapshot_entries"`
	SnapshotBytes   int64  `toml:"snapshot_bytes"`
	ChangeTimeoutMs int64  `toml:"change_timeout_ms"`
	GarbageGraceMs  int64  `toml:"garbage_grace_ms"`
	LatePutGraceMs  int64  `toml:"late_put_grace_ms"`
}

// BrokerAdmin says where metrics, health and topology are served, and how many metrics.
type BrokerAdmin struct {
	Listen          string `toml:"listen"`
	Hosts           string `toml:"hosts"`
	Debug           bool   `toml:"debug"`
	MaxMetricSeries int    `toml:"max_metric_series"`
}

// Admin says where metrics and health of a controller are served.
type Admin struct {
	Listen string `toml:"listen"`
	Hosts  string `toml:"hosts"`
	Debug  bool   `toml:"debug"`
}

// Common is what a controller has of it, too.
func (a BrokerAdmin) Common() Admin { return Admin{a.Listen, a.Hosts, a.Debug} }

// Tracing says where spans of requests go.
type Tracing struct {
	OTLPEndpoint string  `toml:"otlp_endpoint"`
	SampleRatio  float64 `toml:"sample_ratio"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}
