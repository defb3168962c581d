package config

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30

	second = 1000 // in ms
	minute = 60 * second
	hour   = 60 * minute
)

// DefaultBroker returns what holds where a file says nothing. All that memory
// is charged to comes to 892 MiB when everything is full at once, so that a broker runs
// in 1 GiB; none of it is taken before it is needed.
func DefaultBroker() Broker {
	return Broker{
		Broker:  Identity{ID: 1, DataDirectory: "/var/lib/sluice", ShutdownGraceMs: 5 * second},
		Network: defaultNetwork(),
		TLS:     TLS{Generate: true, ClientAuth: ClientAuthNone, MinVersion: TLS13},
		WAL: WAL{Directory: "wal", SegmentSizeBytes: 128 * mib, CapacityBytes: 1 * gib, UploadSizeBytes: 128 * mib,
			UploadIntervalMs: 10 * minute, FsyncOnWrite: true, FlushIntervalMs: 100, IOEngine: EngineAuto,
			WritesInFlight: 16, IdleSealMs: 100, MinFreeBytes: 256 * mib},
		ObjectStorage: ObjectStorage{OwnObjectSizeBytes: 16 * mib, UploadConcurrency: 4, PrepareTimeoutMs: hour, GarbageCheckMs: minute, ReadRangeBytes: 4 * mib, ReadAheadBytes: 16 * mib, ReadAheadRequests: 4,
			ReadMemoryBytes: 24 * mib, ReadTimeoutMs: minute, UnreadableAfterMs: 30 * second,
			MultipartThreshold: 256 * mib, PartSizeBytes: 8 * mib, PartConcurrency: 4, MinRequests: 2, MaxRequests: 64, Attempts: 8, FirstPauseMs: 100,
			LastPauseMs: 5 * second, StallMs: 20 * second, MissingAttempts: 3},
		Retention: Retention{CheckIntervalMs: 5 * minute, ChangesPerSecond: 100},
		Compaction: Compaction{CheckIntervalMs: minute, BytesPerSecond: 32 * mib, MemoryBytes: 40 * mib,
			TargetSizeBytes: 128 * mib, MinObjects: 8},
		Cache:       Cache{WriteCacheSizeBytes: 224 * mib, ReadCacheSizeBytes: 48 * mib},
		Memory:      Memory{ConnectionBytes: 64 * mib, RequestBudgetBytes: 128 * mib, ResponseBudgetBytes: 80 * mib, WALBufferBytes: 80 * mib, TailIndexBytes: 48 * mib},
		Replication: Replication{DefaultFactor: 1, MinInSyncReplicas: 1},
		Topics:      Topics{DefaultPartitions: 1, MaxPartitionsPerTopic: 10_000, MaxPartitions: 200_000},
		Requests:    Requests{MaxPartitions: 100_000, MaxChanges: 10_000, MaxConcurrentChanges: 64, ChangeTimeoutMs: 30 * second},
		Fetch: Fetch{MaxBytes: 55 * mib, MaxWaitMs: 5 * minute, MaxSessions: 1000, MaxSessionPartitions: 500_000, MaxSessionBytes: 24 * mib,
			SessionIdleMs: 2 * minute},
		Producers: Producers{ExpirationMs: 24 * hour, MemoryBytes: 80 * mib, IDBlockSize: 1000},
		Groups: Groups{InitialRebalanceDelayMs: 3 * second, MinSessionTimeoutMs: 6 * second, MaxSessionTimeoutMs: 30 * minute,
			MaxGroups: 10_000, MaxMembers: 5000, MaxGroupBytes: 4 * mib, MaxMetadataBytes: 48 * mib,
			MaxOffsetMetadataBytes: 4 * kib, MaxOffsets: 200_000, OffsetsRetentionMs: 7 * 24 * hour,
			OffsetsCheckIntervalMs: 10 * minute, Lanes: 4, Queue: 256, MaxConcurrentWrites: 64, WriteTimeoutMs: 5 * second},
		Stages:   defaultStages(),
		Metadata: defaultMetadata(),
		Admin:    BrokerAdmin{Listen: "127.0.0.1:9642", MaxMetricSeries: 2000},
		Tracing:  Tracing{SampleRatio: 0.01},
		Log:      Log{Level: "info", Format: "text"},
	}
}

func defaultNetwork() Network {
	return Network{QUICListen: "127.0.0.1:9092", TCPListen: "127.0.0.1:9092", TCPPlaintext: PlaintextLoopback,
		MaxConnections: 10_000, MaxStreamsPerConnection: 256, MaxOutstandingRequests: 256,
		MaxRequestBytes: 64 * mib, MaxControlRequestBytes: 8 * mib, IdleTimeoutMs: 10 * minute, StallGraceMs: 10 * second,
		MinBytesPerSecond: 16 * kib, TransferTimeoutMs: 2 * minute,
		QUICHandshakeTimeoutMs: 5 * second, QUICIdleTimeoutMs: 30 * second,
		QUICStreamWindowBytes: 8 * mib, QUICConnectionWindowBytes: 16 * mib, QUICReceiveOffload: true}
}

func defaultStages() Stages {
	return Stages{
		Sequence:    Lanes{Depth: 64, Workers: 4},
		Batch:       Batch{Depth: 256, LingerUs: 1000, EagerGroups: 4, TargetBytes: 256 * kib, MaxBytes: 1 * mib},
		WAL:         Queue{4},
		Replicate:   Queue{16},
		Join:        Queue{16},
		Commit:      Queue{16},
		Publish:     Queue{16},
		Locate:      Crew{64, 2},
		ReadHot:     Crew{64, 2},
		WALRead:     Crew{16, 4},
		ReadCold:    Crew{16, 2},
		ObjectFetch: Crew{16, 8},
		Trim:        Crew{64, 2},
	}
}

func defaultMetadata() Metadata {
	return Metadata{Directory: "meta", ReserveBytes: 8 * mib, Shards: 16, TickMs: 50, SnapshotEntries: 8192, SnapshotBytes: 8 * mib,
		ChangeTimeoutMs: 10 * second, GarbageGraceMs: minute, LatePutGraceMs: 24 * hour}
}

// DefaultController returns what holds where a file says nothing.
func DefaultController() Controller {
	return Controller{
		Controller: Identity{ID: 1, DataDirectory: "/var/lib/sluice-controller", ShutdownGraceMs: 5 * second},
		Metadata:   defaultMetadata(),
		Admin:      Admin{Listen: "127.0.0.1:9642"},
		Log:        Log{Level: "info", Format: "text"},
	}
}
