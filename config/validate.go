package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/logmetrics"
)

// Values of network.tcp_plaintext.
const (
	// PlaintextLoopback uses TLS on the TCP door unless it listens on loopback.
	PlaintextLoopback = "loopback"
	// PlaintextNever always uses TLS.
	PlaintextNever = "never"
	// PlaintextEverywhere never uses TLS: whoever is on the way can read and change
	// everything.
	PlaintextEverywhere = "everywhere"
)

// Values of wal.io_engine.
const (
	EngineAuto     = "auto"
	EngineIOURing  = "io_uring"
	EnginePwrite   = "pwrite"
	EngineBuffered = "buffered"
)

// Values of tls.client_auth.
const (
	ClientAuthNone     = "none"
	ClientAuthOptional = "optional"
	ClientAuthRequired = "required"
)

// Values of tls.min_version.
const (
	TLS12 = "1.2"
	TLS13 = "1.3"
)

// checks collects what is wrong with settings.
type checks []error

func (c *checks) require(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

func (c *checks) within(key string, v, least, most int64) {
	c.require(v >= least && v <= most, "%s must be from %d to %d, not %d", key, least, most, v)
}

// atLeast is within for a setting whose upper bound is that of its unit.
func (c *checks) atLeast(key string, v, least int64) { c.within(key, v, least, most(key)) }

func (c *checks) oneOf(key, v string, allowed ...string) {
	c.require(slices.Contains(allowed, v), "%s must be one of %s, not %q", key, strings.Join(allowed, ", "), v)
}

// address checks HOST:PORT, or nothing.
func (c *checks) address(key, v string) {
	if v == "" {
		return
	}
	_, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	c.require(err == nil, "%s must be HOST:PORT, such as 127.0.0.1:9092, or empty, not %q", key, v)
}

// Validate reports settings that cannot work, by key. What depends on the system
// shows when the broker starts.
func (c Broker) Validate() error {
	var e checks
	e.identity("broker", c.Broker)
	e.network(c.Network)
	e.require(c.Network.QUICListen != "" || c.Network.TCPListen != "",
		"network.quic_listen and network.tcp_listen are both empty; set one, else no client can come in")
	e.tls(c.TLS)
	e.wal(c.WAL)
	e.objects(c.ObjectStorage)
	e.atLeast("retention.check_interval_ms", c.Retention.CheckIntervalMs, 100)
	e.within("retention.changes_per_second", int64(c.Retention.ChangesPerSecond), 1, 100_000)
	e.compaction(c.Compaction)
	e.memory(c)
	e.fits(c)
	e.topics(c)
	e.groups(c.Groups)
	e.stages(c.Stages)
	e.require(c.Stages.Batch.MaxBytes <= c.WAL.SegmentSizeBytes, "stages.batch.max_bytes (%d) must not exceed wal.segment_size_bytes (%d)",
		c.Stages.Batch.MaxBytes, c.WAL.SegmentSizeBytes)
	e.tracing(c.Tracing)
	e.within("admin.max_metric_series", int64(c.Admin.MaxMetricSeries), 0, logmetrics.MaxSeries)
	e.common(c.Metadata, c.Admin.Common(), c.Log)
	e.apart(listeners{{"network.tcp_listen", c.Network.TCPListen}, {"metadata.raft_address", c.Metadata.RaftAddress}, {"admin.listen", c.Admin.Listen}})
	return errors.Join(e...)
}

func (c *checks) compaction(k Compaction) {
	c.atLeast("compaction.check_interval_ms", k.CheckIntervalMs, 100)
	c.atLeast("compaction.bytes_per_second", k.BytesPerSecond, 16*kib)
	c.atLeast("compaction.memory_bytes", k.MemoryBytes, mib)
	c.atLeast("compaction.target_size_bytes", k.TargetSizeBytes, mib)
	c.atLeast("compaction.min_objects", int64(k.MinObjects), 4)
}

// Validate reports settings that cannot work, by key.
func (c Controller) Validate() error {
	var e checks
	e.identity("controller", c.Controller)
	e.common(c.Metadata, c.Admin, c.Log)
	e.apart(listeners{{"metadata.raft_address", c.Metadata.RaftAddress}, {"admin.listen", c.Admin.Listen}})
	return errors.Join(e...)
}

func (c *checks) identity(table string, i Identity) {
	c.within(table+".id", int64(i.ID), 0, 1<<31-1)
	c.require(i.DataDirectory != "", "%s.data_directory must name a directory", table)
	c.within(table+".shutdown_grace_ms", i.ShutdownGraceMs, second, hour)
}

func (c *checks) network(n Network) {
	c.address("network.quic_listen", n.QUICListen)
	c.address("network.tcp_listen", n.TCPListen)
	c.oneOf("network.tcp_plaintext", n.TCPPlaintext, PlaintextLoopback, PlaintextNever, PlaintextEverywhere)
	c.within("network.advertised_port", int64(n.AdvertisedPort), 0, 65535)
	c.atLeast("network.max_connections", int64(n.MaxConnections), 1)
	c.atLeast("network.max_connections_per_ip", int64(n.MaxConnectionsPerIP), 0)
	c.within("network.max_streams_per_connection", int64(n.MaxStreamsPerConnection), 1, 1<<20)
	c.within("network.max_outstanding_requests", int64(n.MaxOutstandingRequests), 1, 1<<20)
	c.within("network.max_request_bytes", int64(n.MaxRequestBytes), kib, 1<<31-1)
	c.within("network.max_control_request_bytes", int64(n.MaxControlRequestBytes), kib, 1<<31-1)
	c.atLeast("network.idle_timeout_ms", n.IdleTimeoutMs, 1)
	c.atLeast("network.stall_grace_ms", n.StallGraceMs, 1)
	c.atLeast("network.min_bytes_per_second", int64(n.MinBytesPerSecond), 1)
	c.atLeast("network.transfer_timeout_ms", n.TransferTimeoutMs, 1)
	c.require(n.TransferTimeoutMs >= n.StallGraceMs, "network.transfer_timeout_ms (%d) must not be below network.stall_grace_ms (%d)", n.TransferTimeoutMs, n.StallGraceMs)
	c.atLeast("network.quic_handshake_timeout_ms", n.QUICHandshakeTimeoutMs, 1)
	c.atLeast("network.quic_idle_timeout_ms", n.QUICIdleTimeoutMs, second)
	c.within("network.quic_stream_window_bytes", int64(n.QUICStreamWindowBytes), 64*kib, gib)
	c.within("network.quic_connection_window_bytes", int64(n.QUICConnectionWindowBytes), int64(n.QUICStreamWindowBytes), gib)
}

func (c *checks) tls(t TLS) {
	c.oneOf("tls.client_auth", t.ClientAuth, ClientAuthNone, ClientAuthOptional, ClientAuthRequired)
	c.oneOf("tls.min_version", t.MinVersion, TLS12, TLS13)
	c.require((t.CertificateFile == "") == (t.KeyFile == ""), "tls.certificate_file and tls.key_file belong together; set both or none")
	c.require(t.CertificateFile != "" || t.Generate,
		"there is no certificate: set tls.certificate_file and tls.key_file, or tls.generate = true to have one made")
	c.require(t.ClientAuth == ClientAuthNone || t.ClientCAFile != "" || t.CertificateFile == "",
		"tls.client_auth = %q needs tls.client_ca_file, the authority that client certificates are verified with", t.ClientAuth)
}

func (c *checks) wal(w WAL) {
	c.require(w.Directory != "", "wal.directory must name a directory")
	c.within("wal.segment_size_bytes", w.SegmentSizeBytes, 64*kib, gib)
	c.require(w.SegmentSizeBytes%4096 == 0, "wal.segment_size_bytes must be a multiple of 4096, not %d", w.SegmentSizeBytes)
	c.within("wal.capacity_bytes", w.CapacityBytes, 128*kib, 16<<40)
	c.require(w.CapacityBytes/2 >= w.SegmentSizeBytes, "wal.capacity_bytes (%d) must hold at least two segments of wal.segment_size_bytes (%d)",
		w.CapacityBytes, w.SegmentSizeBytes)
	c.atLeast("wal.upload_size_bytes", w.UploadSizeBytes, mib)
	c.require(w.UploadSizeBytes <= w.CapacityBytes, "wal.upload_size_bytes (%d) must not exceed wal.capacity_bytes (%d)",
		w.UploadSizeBytes, w.CapacityBytes)
	c.atLeast("wal.upload_interval_ms", w.UploadIntervalMs, second)
	c.within("wal.flush_interval_ms", w.FlushIntervalMs, 1, minute)
	c.oneOf("wal.io_engine", w.IOEngine, EngineAuto, EngineIOURing, EnginePwrite, EngineBuffered)
	c.within("wal.writes_in_flight", int64(w.WritesInFlight), 1, 256)
	c.within("wal.idle_seal_ms", w.IdleSealMs, 1, minute)
	c.atLeast("wal.min_free_bytes", w.MinFreeBytes, 0) // the start compares it with the disk
}

func (c *checks) objects(o ObjectStorage) {
	if o.URL != "" {
		u, err := url.Parse(o.URL)
		c.require(err == nil && (u.Scheme == "file" && u.Host == "" && u.Path != "" || u.Scheme == "mem" ||
			slices.Contains([]string{"s3", "gs", "azblob"}, u.Scheme) && u.Host != ""),
			"object_storage.url must be like s3://BUCKET, gs://BUCKET, azblob://CONTAINER or file:///DIRECTORY, or mem:// to lose everything at the end; not %q", o.URL)
	}
	c.atLeast("object_storage.own_object_size_bytes", o.OwnObjectSizeBytes, mib)
	c.within("object_storage.upload_concurrency", int64(o.UploadConcurrency), 1, 256)
	c.atLeast("object_storage.prepare_timeout_ms", o.PrepareTimeoutMs, minute)
	c.atLeast("object_storage.garbage_check_interval_ms", o.GarbageCheckMs, 100)
	c.within("object_storage.read_range_bytes", o.ReadRangeBytes, 64*kib, gib)
	c.within("object_storage.read_ahead_bytes", o.ReadAheadBytes, 0, gib)
	c.within("object_storage.read_ahead_requests", int64(o.ReadAheadRequests), 1, 1024)
	c.within("object_storage.read_memory_bytes", o.ReadMemoryBytes, mib, 64*gib)
	c.require(o.ReadMemoryBytes >= 2*o.ReadRangeBytes, "object_storage.read_memory_bytes (%d) must be at least twice object_storage.read_range_bytes (%d)", o.ReadMemoryBytes, o.ReadRangeBytes)
	c.within("object_storage.read_timeout_ms", o.ReadTimeoutMs, 1000, hour)
	c.within("object_storage.unreadable_after_ms", o.UnreadableAfterMs, 100, 24*hour)
	c.atLeast("object_storage.upload_bytes_per_second", o.UploadBytesPerSecond, 0)
	c.require(o.UploadBytesPerSecond == 0 || o.UploadBytesPerSecond >= 64*kib,
		"object_storage.upload_bytes_per_second must be 0 for no limit, or at least %d, not %d", 64*kib, o.UploadBytesPerSecond)
	c.within("object_storage.multipart_threshold_bytes", o.MultipartThreshold, 0, 5*gib)
	c.within("object_storage.part_size_bytes", o.PartSizeBytes, 5*mib, gib)
	c.within("object_storage.part_concurrency", int64(o.PartConcurrency), 1, 64)
	c.within("object_storage.min_requests", int64(o.MinRequests), 1, 1<<20)
	c.within("object_storage.max_requests", int64(o.MaxRequests), int64(o.MinRequests), 1<<20)
	c.within("object_storage.attempts", int64(o.Attempts), 1, 1000)
	c.within("object_storage.first_pause_ms", o.FirstPauseMs, 1, hour)
	c.within("object_storage.last_pause_ms", o.LastPauseMs, o.FirstPauseMs, hour)
	c.within("object_storage.stall_ms", o.StallMs, 1, hour)
	c.within("object_storage.missing_attempts", int64(o.MissingAttempts), 1, 1000)
}

func (c *checks) memory(b Broker) {
	c.atLeast("cache.write_cache_size_bytes", b.Cache.WriteCacheSizeBytes, mib)
	c.atLeast("cache.read_cache_size_bytes", b.Cache.ReadCacheSizeBytes, mib)
	m := b.Memory
	c.atLeast("memory.connection_bytes", m.ConnectionBytes, mib)
	c.atLeast("memory.wal_buffer_bytes", m.WALBufferBytes, 4*mib)
	c.atLeast("memory.limit_bytes", m.LimitBytes, 0) // 0: no limit
	c.atLeast("memory.tail_index_bytes", m.TailIndexBytes, 4*mib)
	c.atLeast("memory.request_budget_bytes", m.RequestBudgetBytes, 1)
	c.atLeast("memory.response_budget_bytes", m.ResponseBudgetBytes, 1)
	image := largestImage(b)
	c.require(m.WALBufferBytes >= image,
		"memory.wal_buffer_bytes (%d) has no room for the largest request; with network.max_request_bytes (%d) and requests.max_partitions (%d) it must be at least %d",
		m.WALBufferBytes, b.Network.MaxRequestBytes, b.Requests.MaxPartitions, image)
	// A sixteenth of the budget is kept for requests other than produce.
	c.require(m.RequestBudgetBytes/2 >= int64(b.Network.MaxRequestBytes) && m.RequestBudgetBytes/16 >= int64(b.Network.MaxControlRequestBytes),
		"memory.request_budget_bytes (%d) has no room for the largest request; it must be at least twice network.max_request_bytes (%d) and 16 times network.max_control_request_bytes (%d)",
		m.RequestBudgetBytes, b.Network.MaxRequestBytes, b.Network.MaxControlRequestBytes)
	c.require(m.ResponseBudgetBytes >= int64(b.Fetch.MaxBytes),
		"memory.response_budget_bytes (%d) must have room for one answer of fetch.max_bytes (%d)", m.ResponseBudgetBytes, b.Fetch.MaxBytes)
}

// largestImage is what the log needs for the largest request alone: its batches, a row
// for each, and whole blocks.
func largestImage(b Broker) int64 {
	const row, least, head = 64, 64, 8 * kib // bytes in the log's table, of a batch in a request, and around all
	request := int64(b.Network.MaxRequestBytes)
	return blockfs.BufferSize(request + row*min(int64(b.Requests.MaxPartitions), request/least) + head)
}

func (c *checks) topics(b Broker) {
	t := b.Topics
	c.within("topics.max_partitions_per_topic", int64(t.MaxPartitionsPerTopic), 1, 1<<20)
	c.within("topics.max_partitions", int64(t.MaxPartitions), int64(t.MaxPartitionsPerTopic), 1<<24)
	c.within("topics.default_partitions", int64(t.DefaultPartitions), 1, int64(t.MaxPartitionsPerTopic))
	c.within("replication.default_factor", int64(b.Replication.DefaultFactor), 1, 32)
	c.require(b.Replication.MinInSyncReplicas == 1,
		"replication.min_in_sync_replicas must be 1: this version has one replica of the log, and would refuse every write with acks=all")
	r := b.Requests
	c.atLeast("requests.max_partitions", int64(r.MaxPartitions), 1)
	c.atLeast("requests.max_changes", int64(r.MaxChanges), 1)
	c.within("requests.max_concurrent_changes", int64(r.MaxConcurrentChanges), 1, 1<<16)
	c.atLeast("requests.change_timeout_ms", r.ChangeTimeoutMs, 1)
	c.within("fetch.max_bytes", int64(b.Fetch.MaxBytes), kib, 1<<31-1)
	c.atLeast("fetch.max_wait_ms", b.Fetch.MaxWaitMs, 1)
	c.atLeast("fetch.max_sessions", int64(b.Fetch.MaxSessions), 0)
	c.atLeast("fetch.max_session_partitions", int64(b.Fetch.MaxSessionPartitions), 0)
	c.atLeast("fetch.max_session_bytes", b.Fetch.MaxSessionBytes, 0)
	c.atLeast("fetch.session_idle_ms", b.Fetch.SessionIdleMs, 0)
	c.atLeast("producers.expiration_ms", b.Producers.ExpirationMs, minute)
	c.atLeast("producers.memory_bytes", b.Producers.MemoryBytes, 8*mib)
	c.within("producers.id_block_size", int64(b.Producers.IDBlockSize), 1, 1<<20)
}

func (c *checks) groups(g Groups) {
	c.within("groups.initial_rebalance_delay_ms", g.InitialRebalanceDelayMs, 0, 10*minute)
	c.within("groups.min_session_timeout_ms", g.MinSessionTimeoutMs, 1, 24*24*hour)
	c.within("groups.max_session_timeout_ms", g.MaxSessionTimeoutMs, g.MinSessionTimeoutMs, 24*24*hour)
	c.atLeast("groups.max_groups", int64(g.MaxGroups), 1)
	c.atLeast("groups.max_members", int64(g.MaxMembers), 1)
	c.within("groups.max_group_bytes", int64(g.MaxGroupBytes), 4*kib, gib)
	c.atLeast("groups.max_metadata_bytes", g.MaxMetadataBytes, max(64*kib, int64(g.MaxGroupBytes)))
	c.atLeast("groups.max_offset_metadata_bytes", int64(g.MaxOffsetMetadataBytes), 0)
	c.atLeast("groups.max_offsets", int64(g.MaxOffsets), 1)
	c.atLeast("groups.offsets_check_interval_ms", g.OffsetsCheckIntervalMs, 1)
	c.within("groups.lanes", int64(g.Lanes), 1, 1024)
	c.within("groups.queue", int64(g.Queue), 1, maxDepth)
	c.within("groups.max_concurrent_writes", int64(g.MaxConcurrentWrites), 1, maxDepth)
	c.atLeast("groups.write_timeout_ms", g.WriteTimeoutMs, 1)
	c.atLeast("groups.offsets_retention_ms", g.OffsetsRetentionMs, minute)
}

// maxDepth bounds each queue and each crew; more than that is a mistake.
const maxDepth = 1 << 16

func (c *checks) stages(s Stages) {
	for k := range Keys(s) {
		if n, ok := k.Value.(int); ok {
			most := int64(maxDepth)
			if last(k.Name) == "workers" {
				most = 1024
			}
			c.within("stages."+k.Name, int64(n), 1, most)
		}
	}
	b := s.Batch
	c.within("stages.batch.linger_us", b.LingerUs, 0, 1_000_000)
	c.within("stages.batch.eager_groups", b.EagerGroups, 1, 1<<20)
	c.atLeast("stages.batch.target_bytes", b.TargetBytes, 1)
	c.require(b.MaxBytes >= b.TargetBytes, "stages.batch.max_bytes (%d) must not be below stages.batch.target_bytes (%d)", b.MaxBytes, b.TargetBytes)
}

func (c *checks) tracing(t Tracing) {
	if t.OTLPEndpoint != "" {
		u, err := url.Parse(t.OTLPEndpoint)
		c.require(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
			"tracing.otlp_endpoint must be like http://HOST:4317 or https://HOST:4317, not %q", t.OTLPEndpoint)
	}
	c.require(t.SampleRatio >= 0 && t.SampleRatio <= 1, "tracing.sample_ratio must be from 0 to 1, not %v", t.SampleRatio)
}

func (c *checks) common(m Metadata, a Admin, l Log) {
	c.require(m.Directory != "", "metadata.directory must name a directory")
	c.within("metadata.reserve_bytes", m.ReserveBytes, 0, gib)
	c.address("metadata.raft_address", m.RaftAddress)
	c.within("metadata.shards", int64(m.Shards), 1, 64)
	c.within("metadata.tick_ms", m.TickMs, 1, second)
	c.atLeast("metadata.snapshot_bytes", m.SnapshotBytes, 64*kib)
	c.within("metadata.snapshot_entries", int64(m.SnapshotEntries), 16, 1<<24)
	c.atLeast("metadata.change_timeout_ms", m.ChangeTimeoutMs, 10*m.TickMs)
	c.atLeast("metadata.garbage_grace_ms", m.GarbageGraceMs, 0)
	c.atLeast("metadata.late_put_grace_ms", m.LatePutGraceMs, 0)
	c.address("admin.listen", a.Listen)
	_, err := adminhttp.ParseHosts(a.Hosts)
	c.require(err == nil, "admin.hosts: %v", err)
	c.require(new(slog.Level).UnmarshalText([]byte(l.Level)) == nil, "log.level must be one of debug, info, warn, error, not %q", l.Level)
	c.oneOf("log.format", l.Format, "text", "json")
}
