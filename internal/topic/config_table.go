package topic

import "math"

// Names of the configs that Sluice's own code reads.
const (
	CleanupPolicy        = "cleanup.policy"
	DeleteRetentionMs    = "delete.retention.ms"
	LocalRetentionBytes  = "local.retention.bytes"
	LocalRetentionMs     = "local.retention.ms"
	MaxCompactionLagMs   = "max.compaction.lag.ms"
	MaxDecompressedBytes = "max.decompressed.message.bytes"
	MaxMessageBytes      = "max.message.bytes"
	TimestampAfterMaxMs  = "message.timestamp.after.max.ms"
	TimestampBeforeMaxMs = "message.timestamp.before.max.ms"
	TimestampType        = "message.timestamp.type"
	MinCleanableRatio    = "min.cleanable.dirty.ratio"
	MinCompactionLagMs   = "min.compaction.lag.ms"
	MinInsyncReplicas    = "min.insync.replicas"
	RetentionBytes       = "retention.bytes"
	RetentionMs          = "retention.ms"
)

// Values that a List or String config may have.
const (
	CleanupDelete  = "delete"  // in cleanup.policy
	CleanupCompact = "compact" // in cleanup.policy
	CreateTime     = "CreateTime"
	LogAppendTime  = "LogAppendTime"
)

// Why a config is inert or a value is refused.
const (
	noRecompression = "batches are stored as the producer compressed them; set compression.type in the producer"
	noCompression   = "Accepted without effect: the broker does not recompress batches."
	noSegments      = "Accepted without effect: partitions have no segment files; the broker's upload settings determine when objects are written."
	noFlush         = "Accepted without effect: flushing is configured for the broker's write-ahead log, not for each topic."
	noTransfers     = "Accepted without effect: records are replicated as they are written, so there is no separate transfer to throttle."
	noCopyLag       = "Accepted without effect: the broker's upload settings determine when records are copied to the object store."
	noCopySwitch    = "Accepted without effect: every record is stored in object storage, which cannot be turned off."
	noLocalLog      = "Accepted without effect: the write-ahead log keeps records until they are stored in an object."
)

// table has every topic config, sorted by name. It is never written.
var table = []Config{
	{Name: CleanupPolicy, Kind: List, Default: CleanupDelete, Broker: "log.cleanup.policy",
		allowed: []string{CleanupDelete, CleanupCompact}, empty: true,
		Doc: "What happens to old records: delete removes them by time and size, compact keeps the latest record of each key. Empty keeps all records forever."},
	{Name: "compression.gzip.level", Kind: Int, Default: "-1", Broker: "compression.gzip.level", Inert: true, min: -1, max: 9,
		also: notZero, Doc: noCompression},
	{Name: "compression.lz4.level", Kind: Int, Default: "9", Broker: "compression.lz4.level", Inert: true, min: 1, max: 17,
		Doc: noCompression},
	{Name: "compression.type", Kind: String, Default: "producer", Broker: "compression.type",
		allowed: []string{"producer"}, refusal: noRecompression,
		Doc: "Only producer is supported: the broker stores batches as the producer compressed them."},
	{Name: "compression.zstd.level", Kind: Int, Default: "3", Broker: "compression.zstd.level", Inert: true, min: -131072, max: 22,
		Doc: noCompression},
	{Name: DeleteRetentionMs, Kind: Long, Default: "86400000", Unit: "ms", Broker: "log.cleaner.delete.retention.ms", max: math.MaxInt64,
		Doc: "How long compaction keeps the tombstone of a deleted key, so that consumers that are still reading older records see it."},
	{Name: "errors.deadletterqueue.group.enable", Kind: Boolean, Default: "false", Inert: true,
		Doc: "Accepted without effect: it is for share groups, which are not supported."},
	{Name: "file.delete.delay.ms", Kind: Long, Default: "60000", Unit: "ms", Broker: "log.segment.delete.delay.ms", Inert: true, max: math.MaxInt64,
		Doc: "Accepted without effect: objects are deleted once the metadata no longer references them, at an interval set for the broker."},
	{Name: "flush.messages", Kind: Long, Default: "9223372036854775807", Unit: "records", Broker: "log.flush.interval.messages", Inert: true, min: 1, max: math.MaxInt64,
		Doc: noFlush},
	{Name: "flush.ms", Kind: Long, Default: "9223372036854775807", Unit: "ms", Broker: "log.flush.interval.ms", Unset: true, Inert: true, max: math.MaxInt64,
		Doc: noFlush},
	{Name: "follower.replication.throttled.replicas", Kind: List, Default: "", Inert: true, empty: true, also: throttled, Doc: noTransfers},
	{Name: "index.interval.bytes", Kind: Int, Default: "4096", Unit: "bytes", Broker: "log.index.interval.bytes", Inert: true, max: math.MaxInt32,
		Doc: noSegments},
	{Name: "leader.replication.throttled.replicas", Kind: List, Default: "", Inert: true, empty: true, also: throttled, Doc: noTransfers},
	{Name: LocalRetentionBytes, Kind: Long, Default: "-2", Unit: "bytes", Broker: "log.local.retention.bytes", Inert: true, min: -2, max: math.MaxInt64,
		Doc: noLocalLog},
	{Name: LocalRetentionMs, Kind: Long, Default: "-2", Unit: "ms", Broker: "log.local.retention.ms", Inert: true, min: -2, max: math.MaxInt64,
		Doc: noLocalLog},
	{Name: MaxCompactionLagMs, Kind: Long, Default: "9223372036854775807", Unit: "ms", Broker: "log.cleaner.max.compaction.lag.ms", min: 1, max: math.MaxInt64,
		Doc: "The maximum time that a record of a compacted topic may remain uncompacted."},
	{Name: MaxDecompressedBytes, Kind: Int, Default: "2147483639", Unit: "bytes", Broker: "max.decompressed.message.bytes", min: 1, max: 2147483639,
		Doc: "The largest record accepted in a compressed batch, without its length field. The whole batch may decompress to at most 64 MiB."},
	{Name: MaxMessageBytes, Kind: Int, Default: "1048588", Unit: "bytes", Broker: "message.max.bytes", max: math.MaxInt32,
		Doc: "The largest record batch accepted, as sent by the producer: after compression, if any."},
	{Name: TimestampAfterMaxMs, Kind: Long, Default: "3600000", Unit: "ms", Broker: "log.message.timestamp.after.max.ms", max: math.MaxInt64,
		Doc: "How far a record's timestamp may be ahead of the broker's clock. Not used with LogAppendTime."},
	{Name: TimestampBeforeMaxMs, Kind: Long, Default: "9223372036854775807", Unit: "ms", Broker: "log.message.timestamp.before.max.ms", max: math.MaxInt64,
		Doc: "How far a record's timestamp may be behind the broker's clock. Not used with LogAppendTime."},
	{Name: TimestampType, Kind: String, Default: CreateTime, Broker: "log.message.timestamp.type",
		allowed: []string{CreateTime, LogAppendTime},
		Doc:     "Whether a record keeps the producer's timestamp (CreateTime) or gets the broker's (LogAppendTime)."},
	{Name: MinCleanableRatio, Kind: Double, Default: "0.5", Broker: "log.cleaner.min.cleanable.ratio",
		Doc: "The fraction of a compacted partition that must be uncompacted before compaction runs. Lower values save space and cost more work."},
	{Name: MinCompactionLagMs, Kind: Long, Default: "0", Unit: "ms", Broker: "log.cleaner.min.compaction.lag.ms", max: math.MaxInt64,
		Doc: "The minimum time that a record of a compacted topic remains uncompacted."},
	{Name: MinInsyncReplicas, Kind: Int, Default: "1", Broker: "min.insync.replicas", min: 1, max: math.MaxInt32,
		Doc: "How many replicas must have a record before it is acknowledged with acks=all. With fewer replicas in sync, such writes are refused."},
	{Name: "preallocate", Kind: Boolean, Default: "false", Broker: "log.preallocate", Inert: true, Doc: noSegments},
	{Name: "remote.copy.lag.bytes", Kind: Long, Default: "-1", Unit: "bytes", Broker: "log.remote.copy.lag.bytes", Inert: true, min: -1, max: math.MaxInt64,
		Doc: noCopyLag},
	{Name: "remote.copy.lag.ms", Kind: Long, Default: "0", Unit: "ms", Broker: "log.remote.copy.lag.ms", Inert: true, min: -1, max: math.MaxInt64,
		Doc: noCopyLag},
	{Name: "remote.log.copy.disable", Kind: Boolean, Default: "false", Inert: true, Doc: noCopySwitch},
	{Name: "remote.log.delete.on.disable", Kind: Boolean, Default: "false", Inert: true, Doc: noCopySwitch},
	{Name: "remote.storage.enable", Kind: Boolean, Default: "true", Broker: "remote.log.storage.system.enable",
		allowed: []string{"true"}, refusal: "the records of every topic are stored in object storage",
		Doc: "Always true: every record is stored in object storage."},
	{Name: RetentionBytes, Kind: Long, Default: "-1", Unit: "bytes", Broker: "log.retention.bytes", min: math.MinInt64, max: math.MaxInt64,
		Doc: "How many bytes a partition keeps with cleanup.policy=delete; the oldest records are deleted first. A negative value means no limit."},
	{Name: RetentionMs, Kind: Long, Default: "604800000", Unit: "ms", Broker: "log.retention.ms", Unset: true, min: -1, max: math.MaxInt64,
		Doc: "How long records are kept with cleanup.policy=delete; -1 means forever."},
	{Name: "segment.bytes", Kind: Int, Default: "1073741824", Unit: "bytes", Broker: "log.segment.bytes", Inert: true, min: 1 << 20, max: math.MaxInt32,
		Doc: noSegments},
	{Name: "segment.index.bytes", Kind: Int, Default: "10485760", Unit: "bytes", Broker: "log.index.size.max.bytes", Inert: true, min: 4, max: math.MaxInt32,
		Doc: noSegments},
	{Name: "segment.jitter.ms", Kind: Long, Default: "0", Unit: "ms", Broker: "log.roll.jitter.ms", Unset: true, Inert: true, max: math.MaxInt64,
		Doc: noSegments},
	{Name: "segment.ms", Kind: Long, Default: "604800000", Unit: "ms", Broker: "log.roll.ms", Unset: true, Inert: true, min: 1, max: math.MaxInt64,
		Doc: noSegments},
	{Name: "unclean.leader.election.enable", Kind: Boolean, Default: "false", Broker: "unclean.leader.election.enable", Inert: true,
		Doc: "Accepted without effect: a replica that lacks acknowledged records never becomes the leader automatically."},
}
