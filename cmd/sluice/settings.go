package main

import (
	"crypto/tls"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/group"
	"github.com/sluicemq/sluice/egress/fetch"
	"github.com/sluicemq/sluice/ingress/admission"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/logmetrics"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/quicnet"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/batch"
	"github.com/sluicemq/sluice/stages/compact"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/retain"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// nodeConfig maps the settings of a file onto those of the parts. Only TLS is
// left open; see certificates.
func nodeConfig(c config.Broker) (node.Config, error) {
	dir, err := filepath.Abs(c.Broker.DataDirectory)
	if err != nil {
		return node.Config{}, err
	}
	n := node.Config{
		Broker:             int32(c.Broker.ID),
		Cluster:            clusterConfig(c.Metadata, dir),
		Storage:            storageConfig(c, dir),
		Doors:              doorsConfig(c),
		Kafka:              kafkaConfig(c.Network),
		API:                apiConfig(c),
		Fetch:              fetchConfig(c),
		Groups:             groupsConfig(c.Groups),
		AdminListen:        c.Admin.Listen,
		Admin:              adminConfig(c.Admin.Common(), c.Network.AdvertisedHost),
		Metrics:            logmetrics.Config{MaxSeries: c.Admin.MaxMetricSeries},
		Tracing:            node.TracingConfig{Endpoint: c.Tracing.OTLPEndpoint, Ratio: c.Tracing.SampleRatio},
		RequestBudgetBytes: c.Memory.RequestBudgetBytes,
		MemoryLimitBytes:   c.Memory.LimitBytes,
		Grace:              ms(c.Broker.ShutdownGraceMs),
	}
	n.Cluster.Witness = filepath.Join(n.Storage.WALGuard, "metadata")
	n.Cluster.ProducerExpiration = ms(c.Producers.ExpirationMs)
	return n, n.Validate()
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// under returns path, which is in dir unless it is absolute or empty.
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func clusterConfig(m config.Metadata, dir string) consensus.Config {
	c := consensus.DefaultConfig(under(dir, m.Directory))
	c.Guard, c.ReserveBytes = under(dir, m.Guard), m.ReserveBytes
	c.RaftAddress, c.Shards, c.SnapshotEntries, c.SnapshotBytes = m.RaftAddress, m.Shards, m.SnapshotEntries, m.SnapshotBytes
	c.Tick, c.Timeout, c.Grace, c.LatePutGrace = ms(m.TickMs), ms(m.ChangeTimeoutMs), ms(m.GarbageGraceMs), ms(m.LatePutGraceMs)
	return c
}

func storageConfig(c config.Broker, dir string) node.StorageConfig {
	objects := c.ObjectStorage.URL
	if objects == "" {
		objects = fileURL(filepath.Join(dir, "objects"))
	}
	return node.StorageConfig{
		WALDirectory: under(dir, c.WAL.Directory),
		WALGuard:     under(dir, c.WAL.Directory) + ".guard",
		FS:           blockfs.Options{MinFreeBytes: c.WAL.MinFreeBytes, Engine: blockfs.Engine(c.WAL.IOEngine)},
		WAL:          walConfig(c.WAL),
		ObjectURL:    objects,
		Objects:      objectsConfig(c.ObjectStorage, c.WAL.MinFreeBytes/2),
		Upload:       uploadConfig(c),
		Retain:       retain.Config{Interval: ms(c.Retention.CheckIntervalMs), ChangesPerSecond: c.Retention.ChangesPerSecond},
		Compact:      compactConfig(c),
		Batch: batch.Config{TargetBytes: c.Stages.Batch.TargetBytes, MaxBytes: c.Stages.Batch.MaxBytes, Linger: time.Duration(c.Stages.Batch.LingerUs) * time.Microsecond,
			EagerGroups: c.Stages.Batch.EagerGroups},
		Producers:       node.ProducersConfig{Expiration: ms(c.Producers.ExpirationMs), MemoryBytes: c.Producers.MemoryBytes},
		Fetch:           readConfig(c.ObjectStorage),
		Unreadable:      unreadable.Config{LastingAfter: ms(c.ObjectStorage.UnreadableAfterMs)},
		Lanes:           c.Stages.Sequence.Workers,
		WriteCacheBytes: c.Cache.WriteCacheSizeBytes,
		ReadCacheBytes:  c.Cache.ReadCacheSizeBytes,
		ImageBytes:      c.Memory.WALBufferBytes,
		TailIndexBytes:  c.Memory.TailIndexBytes,
		Limits:          limits(c.Stages),
	}
}

// fileURL is the URL of a directory.
func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

func walConfig(c config.WAL) wal.Config {
	w := wal.Config{SegmentSizeBytes: c.SegmentSizeBytes, CapacityBytes: c.CapacityBytes, Durability: wal.Sync,
		FlushInterval: ms(c.FlushIntervalMs), Inflight: c.WritesInFlight, IdleSeal: ms(c.IdleSealMs)}
	if !c.FsyncOnWrite {
		w.Durability = wal.Interval
	}
	return w
}

func uploadConfig(c config.Broker) upload.Config {
	return upload.Config{SizeBytes: c.WAL.UploadSizeBytes, Interval: ms(c.WAL.UploadIntervalMs),
		OwnObjectBytes: c.ObjectStorage.OwnObjectSizeBytes, Concurrency: c.ObjectStorage.UploadConcurrency, ObjectMemory: c.UploadMemory(),
		PrepareTTL: ms(c.ObjectStorage.PrepareTimeoutMs), SweepInterval: ms(c.ObjectStorage.GarbageCheckMs), ProducerExpiration: ms(c.Producers.ExpirationMs), SectionBytes: node.SectionBytes(c.Producers.MemoryBytes)}
}

func compactConfig(c config.Broker) compact.Config {
	k := c.Compaction
	return compact.Config{Interval: ms(k.CheckIntervalMs), BytesPerSecond: k.BytesPerSecond, MemoryBytes: k.MemoryBytes,
		TargetBytes: k.TargetSizeBytes, MinObjects: k.MinObjects, PrepareTTL: ms(c.ObjectStorage.PrepareTimeoutMs), Paused: k.Paused}
}

// objectsConfig maps the settings of the object store. minFree is what one on this
// machine leaves of the disk: less than the WAL does, so that uploads make room.
func objectsConfig(o config.ObjectStorage, minFree int64) objectstore.Config {
	return objectstore.Config{MultipartThresholdBytes: o.MultipartThreshold, PartBytes: o.PartSizeBytes, PartConcurrency: o.PartConcurrency, MinRequests: o.MinRequests,
		MaxRequests: o.MaxRequests, UploadBytesPerSecond: o.UploadBytesPerSecond, Attempts: o.Attempts,
		FirstPause: ms(o.FirstPauseMs), LastPause: ms(o.LastPauseMs), Stall: ms(o.StallMs), MissingAttempts: o.MissingAttempts, MinFreeBytes: minFree}
}

func readConfig(o config.ObjectStorage) objectfetch.Config {
	c := objectfetch.DefaultConfig()
	c.RunBytes, c.AheadBytes, c.AheadRequests = o.ReadRangeBytes, o.ReadAheadBytes, o.ReadAheadRequests
	c.RequestBytes, c.RequestTimeout = o.ReadMemoryBytes, ms(o.ReadTimeoutMs)
	return c
}

func limits(s config.Stages) node.Limits {
	l := node.Limits{
		"sequence": {Depth: s.Sequence.Depth},
		"batch":    {Depth: s.Batch.Depth},
	}
	for name, q := range map[string]config.Queue{"wal": s.WAL, "replicate": s.Replicate, "join": s.Join,
		"commit": s.Commit, "publish": s.Publish} {
		l[name] = pipeline.Limits{Depth: q.Depth}
	}
	for name, c := range map[string]config.Crew{"locate": s.Locate, "read_cache": s.ReadHot, "walread": s.WALRead,
		"readcache": s.ReadCold, "objectfetch": s.ObjectFetch, "trim": s.Trim} {
		l[name] = pipeline.Limits{Depth: c.Depth, Workers: c.Workers}
	}
	return l
}

func doorsConfig(c config.Broker) node.DoorsConfig {
	n := c.Network
	q := quicnet.DefaultConfig()
	q.HandshakeTimeout, q.IdleTimeout, q.KeepAlive = ms(n.QUICHandshakeTimeoutMs), ms(n.QUICIdleTimeoutMs), 0
	q.StreamWindowBytes, q.ConnectionWindowBytes = n.QUICStreamWindowBytes, n.QUICConnectionWindowBytes
	q.ReceiveOffload = n.QUICReceiveOffload
	return node.DoorsConfig{QUICListen: n.QUICListen, TCPListen: n.TCPListen, AdvertisedHost: n.AdvertisedHost,
		AdvertisedPort: int32(n.AdvertisedPort), Rack: c.Broker.Rack, PlaintextTCP: plaintext(n), QUIC: q,
		Connections: n.MaxConnections, ConnectionsPerIP: n.MaxConnectionsPerIP, Streams: n.MaxStreamsPerConnection, MemoryBytes: c.Memory.ConnectionBytes}
}

// adminConfig has requests be for the host that is listened on, the one that clients are
// told, and those of admin.hosts.
func adminConfig(a config.Admin, advertised string) adminhttp.Config {
	c := adminhttp.Config{Debug: a.Debug, Build: adminhttp.ReadBuild(version)}
	c.Hosts, _ = adminhttp.ParseHosts(a.Hosts) // it was checked
	if host, _, err := net.SplitHostPort(a.Listen); err == nil {
		c.Hosts = append(c.Hosts, host)
	}
	if advertised != "" {
		c.Hosts = append(c.Hosts, advertised)
	}
	return c
}

// plaintext says whether the TCP door goes without TLS.
func plaintext(n config.Network) bool {
	switch n.TCPPlaintext {
	case config.PlaintextEverywhere:
		return true
	case config.PlaintextLoopback:
		return isLoopback(n.TCPListen)
	}
	return false
}

// isLoopback says whether an address to listen on can only be reached from this
// machine.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func kafkaConfig(n config.Network) kafka.ServerConfig {
	return kafka.ServerConfig{MaxFrameBytes: n.MaxRequestBytes, MaxControlBytes: n.MaxControlRequestBytes,
		Outstanding: n.MaxOutstandingRequests, IdleTimeout: ms(n.IdleTimeoutMs),
		StallGrace: ms(n.StallGraceMs), MinBytesPerSecond: n.MinBytesPerSecond, TransferTimeout: ms(n.TransferTimeoutMs)}
}

func apiConfig(c config.Broker) kafka.APIConfig {
	return kafka.APIConfig{AutoCreateTopics: c.Topics.AutoCreate, Partitions: int32(c.Topics.DefaultPartitions),
		Replication: int16(c.Replication.DefaultFactor), TopicPartitions: int32(c.Topics.MaxPartitionsPerTopic),
		ClusterPartitions: int32(c.Topics.MaxPartitions), RequestPartitions: c.Requests.MaxPartitions,
		RequestChanges: c.Requests.MaxChanges, Changes: c.Requests.MaxConcurrentChanges,
		ChangeTimeout: ms(c.Requests.ChangeTimeoutMs), ProducerIDBlock: int32(c.Producers.IDBlockSize)}
}

func fetchConfig(c config.Broker) fetch.Config {
	return fetch.Config{MaxBytes: c.Fetch.MaxBytes, BudgetBytes: c.Memory.ResponseBudgetBytes, WaitingBytes: admission.Waiting(c.Memory.RequestBudgetBytes), MaxWait: ms(c.Fetch.MaxWaitMs),
		Sessions: c.Fetch.MaxSessions, SessionPartitions: c.Fetch.MaxSessionPartitions, SessionBytes: c.Fetch.MaxSessionBytes, SessionIdle: ms(c.Fetch.SessionIdleMs)}
}

func groupsConfig(g config.Groups) group.Config {
	return group.Config{InitialRebalanceDelay: ms(g.InitialRebalanceDelayMs), MinSessionTimeout: ms(g.MinSessionTimeoutMs),
		MaxSessionTimeout: ms(g.MaxSessionTimeoutMs), Groups: g.MaxGroups, Members: g.MaxMembers, GroupBytes: g.MaxGroupBytes,
		MetadataBytes: g.MaxMetadataBytes, OffsetMetadataBytes: g.MaxOffsetMetadataBytes, OffsetsPerGroup: g.MaxOffsets,
		OffsetsRetention: ms(g.OffsetsRetentionMs), SweepInterval: ms(g.OffsetsCheckIntervalMs), Lanes: g.Lanes, Queue: g.Queue,
		Writes: g.MaxConcurrentWrites, WriteTimeout: ms(g.WriteTimeoutMs)}
}

// tlsFiles are the TLS files that settings name.
func tlsFiles(c config.Broker) certs.ServerFiles {
	dir, t := c.Broker.DataDirectory, c.TLS
	f := certs.ServerFiles{CertFile: under(dir, t.CertificateFile), KeyFile: under(dir, t.KeyFile),
		ClientCAFile: under(dir, t.ClientCAFile), ClientAuth: certs.ClientAuth(t.ClientAuth), MinVersion: tls.VersionTLS13}
	if t.MinVersion == config.TLS12 {
		f.MinVersion = tls.VersionTLS12
	}
	return f
}

// certificates fills in with what the broker proves itself, and has it made where
// the settings say so.
func certificates(c config.Broker, d *node.DoorsConfig) error {
	d.TLS = tlsFiles(c)
	if c.TLS.CertificateFile != "" {
		return nil
	}
	var hosts []string
	for _, address := range []string{c.Network.QUICListen, c.Network.TCPListen} {
		if host, _, err := net.SplitHostPort(address); err == nil {
			hosts = append(hosts, host)
		}
	}
	files, err := certs.Ensure(filepath.Join(c.Broker.DataDirectory, "tls"), append(hosts, c.Network.AdvertisedHost))
	if err != nil {
		return err
	}
	d.TLS.CertFile, d.TLS.KeyFile = files.Cert, files.Key
	if d.TLS.ClientCAFile == "" {
		d.TLS.ClientCAFile = files.CA
	}
	return nil
}
