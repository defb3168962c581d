package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/certs"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultBroker().Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultController().Validate(); err != nil {
		t.Error(err)
	}
}

// A gibibyte must do for all buffers and caches, with 300 MiB left over for
// connections, indexes and the collector's slack.
func TestDefaultsFitSmallMachines(t *testing.T) {
	c := DefaultBroker()
	sum := c.Cache.Write.SizeBytes + c.Cache.Read.SizeBytes + c.Memory.RequestBudgetBytes +
		c.Memory.ResponseBudgetBytes + c.Memory.WALBufferBytes + c.Compaction.MemoryBytes
	if sum > 704<<20 {
		t.Errorf("buffers and caches come to %d MiB", sum>>20)
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	for want, change := range map[string]func(*Broker){
		"broker.id must be from 0":                      func(c *Broker) { c.Broker.ID = -1 },
		"broker.data_directory must name":               func(c *Broker) { c.Broker.DataDirectory = "" },
		"broker.shutdown_grace_ms":                      func(c *Broker) { c.Broker.ShutdownGrace = 0 },
		"network.quic_listen and network.tcp_listen":    func(c *Broker) { c.Network.QUICListen, c.Network.TCPListen = "", "" },
		"network.quic_listen must be HOST:PORT":         func(c *Broker) { c.Network.QUICListen = "9092" },
		"network.tcp_listen must be HOST:PORT":          func(c *Broker) { c.Network.TCPListen = "localhost:https" },
		"network.tcp_plaintext must be one of loopback": func(c *Broker) { c.Network.TCPPlaintext = "yes" },
		"network.advertised_port":                       func(c *Broker) { c.Network.AdvertisedPort = 65536 },
		"network.max_connections":                       func(c *Broker) { c.Network.MaxConnections = 0 },
		"network.quic_connection_window_bytes":          func(c *Broker) { c.Network.QUIC.ConnectionWindowBytes = 1 << 20 },
		"tls.certificate_file and tls.key_file":         func(c *Broker) { c.TLS.CertificateFile = "x" },
		"there is no certificate":                       func(c *Broker) { c.TLS.Generate = false },
		"tls.min_version must be one of 1.2, 1.3":       func(c *Broker) { c.TLS.MinVersion = "1.1" },
		"tls.client_auth must be one of":                func(c *Broker) { c.TLS.ClientAuth = "maybe" },
		"needs tls.client_ca_file": func(c *Broker) {
			c.TLS.CertificateFile, c.TLS.KeyFile, c.TLS.ClientAuth = "x", "y", certs.ClientAuthRequired
		},
		"wal.segment_size_bytes must be from":                                                         func(c *Broker) { c.WAL.SegmentSizeBytes = 4096 },
		"must hold at least two segments":                                                             func(c *Broker) { c.WAL.CapacityBytes = c.WAL.SegmentSizeBytes },
		"wal.upload_size_bytes (2147483648) must not exceed":                                          func(c *Broker) { c.WAL.Upload.SizeBytes = 2 << 30 },
		"wal.upload_interval_ms must be from 1000":                                                    func(c *Broker) { c.WAL.Upload.Interval = 10 * time.Millisecond },
		"wal.flush_interval_ms":                                                                       func(c *Broker) { c.WAL.FlushInterval = 0 },
		"wal.io_engine must be one of auto, io_uring, pwrite":                                         func(c *Broker) { c.WAL.Disk.Engine = "aio" },
		"wal.min_free_bytes must be from 0 to 1099511627776":                                          func(c *Broker) { c.WAL.Disk.MinFreeBytes = 1<<40 + 1 },
		"wal.min_free_bytes must be from 0 to 1099511627776, not -1":                                  func(c *Broker) { c.WAL.Disk.MinFreeBytes = -1 },
		"network.tcp_listen (127.0.0.1:9642) and admin.listen (127.0.0.1:9642) are the same TCP port": func(c *Broker) { c.Network.TCPListen = c.Admin.Listen },
		"metadata.raft_address (:9642) and admin.listen (127.0.0.1:9642) are the same TCP port":       func(c *Broker) { c.Metadata.RaftAddress = ":9642" },
		"wal.writes_in_flight":                                                                        func(c *Broker) { c.WAL.Inflight = 257 },
		"object_storage.url must be like":                                                             func(c *Broker) { c.ObjectStorage.URL = "ftp://x" },
		`object_storage.url must be like s3://BUCKET`:                                                 func(c *Broker) { c.ObjectStorage.URL = "file://relative/path" },
		"object_storage.multipart_threshold_bytes":                                                    func(c *Broker) { c.ObjectStorage.Store.MultipartThresholdBytes = 6 << 30 },
		"object_storage.part_size_bytes":                                                              func(c *Broker) { c.ObjectStorage.Store.PartBytes = 1 },
		"object_storage.upload_bytes_per_second must be 0":                                            func(c *Broker) { c.ObjectStorage.Store.UploadBytesPerSecond = 1 },
		"object_storage.read_memory_bytes (4194304) must be":                                          func(c *Broker) { c.ObjectStorage.Read.RequestBytes = 4 << 20 },
		"object_storage.read_timeout_ms":                                                              func(c *Broker) { c.ObjectStorage.Read.RequestTimeout = 1 },
		"object_storage.unreadable_after_ms":                                                          func(c *Broker) { c.ObjectStorage.Unreadable.LastingAfter = 1 },
		"cache.read_cache_size_bytes":                                                                 func(c *Broker) { c.Cache.Read.SizeBytes = 0 },
		"memory.request_budget_bytes (104857600) has no room":                                         func(c *Broker) { c.Memory.RequestBudgetBytes = 100 << 20 },
		"16 times network.max_control_request_bytes":                                                  func(c *Broker) { c.Network.Requests.MaxControlBytes = 11 << 20 },
		"memory.response_budget_bytes":                                                                func(c *Broker) { c.Memory.ResponseBudgetBytes = 1 },
		"memory.wal_buffer_bytes (67108864) has no room":                                              func(c *Broker) { c.Memory.WALBufferBytes = 64 << 20 },
		"replication.min_in_sync_replicas (2) must not be above replication.default_factor (1)":       func(c *Broker) { c.Replication.MinInSyncReplicas = 2 },
		"topics.default_partitions":                                                                   func(c *Broker) { c.Topics.Partitions = 10_001 },
		"topics.max_partitions (1) must not be below topics.max_partitions_per_topic (10000)":         func(c *Broker) { c.Topics.ClusterPartitions = 1 },
		"groups.max_session_timeout_ms":                                                               func(c *Broker) { c.Groups.MaxSessionTimeout = 1 },
		"stages.sequence.workers":                                                                     func(c *Broker) { c.Stages.Sequence.Workers = 0 },
		"stages.trim.depth":                                                                           func(c *Broker) { c.Stages.Trim.Depth = 1 << 20 },
		"stages.batch.eager_groups":                                                                   func(c *Broker) { c.Stages.Batch.EagerGroups = 0 },
		"stages.batch.linger_us":                                                                      func(c *Broker) { c.Stages.Batch.Linger = 2 * time.Second },
		"stages.batch.max_bytes (1) must not be below":                                                func(c *Broker) { c.Stages.Batch.MaxBytes = 1 },
		"metadata.shards must be from 1 to 64":                                                        func(c *Broker) { c.Metadata.Shards = 65 },
		"metadata.change_timeout_ms must be from 500":                                                 func(c *Broker) { c.Metadata.Timeout = 499 * time.Millisecond },
		"admin.listen must be HOST:PORT":                                                              func(c *Broker) { c.Admin.Listen = "here" },
		"log.level must be one of debug":                                                              func(c *Broker) { c.Log.Level = "loud" },
		"log.level must be one of debug, info, warn, error, not \"info+2\"":                           func(c *Broker) { c.Log.Level = "info+2" },
		"wal.directory and metadata.directory must differ":                                            func(c *Broker) { c.Metadata.Directory = "./" + c.WAL.Directory },
		"wal.directory must name a directory":                                                         func(c *Broker) { c.WAL.Directory = "a\x00b" },
		"log.format must be one of text, json":                                                        func(c *Broker) { c.Log.Format = "xml" },
	} {
		c := DefaultBroker()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestURLsOfObjectStores(t *testing.T) {
	for _, url := range []string{"", "file:///a/b", "mem://", "s3://bucket?region=x", "gs://bucket", "azblob://container"} {
		c := DefaultBroker()
		c.ObjectStorage.URL = url
		if err := c.Validate(); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// Two TCP listeners cannot share a port. QUIC uses UDP, and port 0 means any free port.
func TestAddressesThatCollide(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true}, {"127.0.0.1:1", "127.0.0.1:01", true}, {"127.0.0.1:1", "127.0.0.1:2", false}, {"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:0", "127.0.0.1:0", false}, {"", "127.0.0.1:1", false}, {":1", "127.0.0.1:1", true}, {"0.0.0.0:1", "10.0.0.1:1", true},
		{"0.0.0.0:1", "[::1]:1", false}, {"[::]:1", "10.0.0.1:1", true}, {"[::]:1", "[::1]:1", true}, {"localhost:1", "127.0.0.1:1", true},
		{"localhost:1", "[::1]:1", true}, {"localhost:1", "10.0.0.1:1", false}, {"LOCALHOST:1", "localhost:1", true}, {"a.example:1", "b.example:1", false},
		{"0.0.0.0:1", "a.example:1", true}, {"[::ffff:127.0.0.1]:1", "127.0.0.1:1", true},
	} {
		if collide(test.a, test.b) != test.want || collide(test.b, test.a) != test.want {
			t.Errorf("%s and %s: want %t", test.a, test.b, test.want)
		}
	}
	c := DefaultBroker()
	c.Admin.Listen, c.Network.TCPListen = c.Network.QUICListen, ""
	if err := c.Validate(); err != nil {
		t.Errorf("QUIC and admin on one port: %v", err)
	}
	both := DefaultController()
	both.Metadata.RaftAddress = both.Admin.Listen
	if err := both.Validate(); err == nil {
		t.Error("a controller has one port for two")
	}
}

func TestWarnings(t *testing.T) {
	c := DefaultBroker()
	if all := c.Warnings(); len(all) > 0 {
		t.Errorf("of the defaults: %q", all)
	}
	c.Cache.Write.SizeBytes = c.WAL.Upload.SizeBytes - 1
	if all := c.Warnings(); len(all) != 1 || !strings.Contains(all[0], "cache.write_cache_size_bytes (134217727) is below wal.upload_size_bytes (134217728)") {
		t.Errorf("%q", all)
	}
}

// Limits that are out of their bounds do not make the sum of all so large that it turns
// negative and fits.
func TestSumOfLimitsDoesNotOverflow(t *testing.T) {
	c := DefaultBroker()
	c.Memory.LimitBytes = 4 << 30
	c.Cache.Write.SizeBytes, c.Cache.Read.SizeBytes = math.MaxInt64, math.MaxInt64
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "memory.limit_bytes (4294967296) is less than") {
		t.Errorf("%v", err)
	}
	c = DefaultBroker()
	c.Memory.LimitBytes = 1 << 40
	c.Cache.Write.SizeBytes, c.Cache.Read.SizeBytes = 1<<40, 1<<40
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "memory.limit_bytes") {
		t.Errorf("%v", err)
	}
}
