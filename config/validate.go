package config

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicemq/sluice/ingress/admission"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/setting"
)

// Validate reports settings that cannot work, by key: those that are out of their bounds, what
// the parts have against theirs, and those that do not fit together. What depends on the system
// shows when the broker starts.
func (c Broker) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require(c.WAL.Upload.SizeBytes <= c.WAL.CapacityBytes, "{wal.upload_size_bytes} (%d) must not exceed {wal.capacity_bytes} (%d)",
		c.WAL.Upload.SizeBytes, c.WAL.CapacityBytes)
	p.Require(c.Stages.Batch.MaxBytes <= c.WAL.SegmentSizeBytes, "{stages.batch.max_bytes} (%d) must not exceed {wal.segment_size_bytes} (%d)",
		c.Stages.Batch.MaxBytes, c.WAL.SegmentSizeBytes)
	p.Require(filepath.Clean(c.WAL.Directory) != filepath.Clean(c.Metadata.Directory), "{wal.directory} and {metadata.directory} must differ; both are %q", c.WAL.Directory)
	c.memory(&p)
	apart(&p, listeners{{"network.tcp_listen", c.Network.TCPListen}, {"metadata.raft_address", c.Metadata.RaftAddress}, {"admin.listen", c.Admin.Listen}})
	return p.Err()
}

// Validate reports settings that cannot work, by key.
func (c Controller) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	apart(&p, listeners{{"metadata.raft_address", c.Metadata.RaftAddress}, {"admin.listen", c.Admin.Listen}})
	return p.Err()
}

// Validate reports settings that cannot work.
func (i Identity) Validate() error {
	var p setting.Problems
	p.Require(namesDirectory(i.DataDirectory), "{data_directory} must name a directory, not %q", i.DataDirectory)
	return p.Err()
}

// namesDirectory reports whether a path can be that of a directory.
func namesDirectory(path string) bool { return path != "" && !strings.ContainsRune(path, 0) }

// Validate reports settings that cannot work.
func (w WAL) Validate() error {
	var p setting.Problems
	p.Require(namesDirectory(w.Directory), "{directory} must name a directory, not %q", w.Directory)
	return p.Err()
}

// Validate reports settings that cannot work.
func (o ObjectStorage) Validate() error {
	var p setting.Problems
	u, err := url.Parse(o.URL)
	p.Require(o.URL == "" || err == nil && (u.Scheme == "file" && u.Host == "" && u.Path != "" || u.Scheme == "mem" ||
		slices.Contains([]string{"s3", "gs", "azblob"}, u.Scheme) && u.Host != ""),
		"{url} must be like s3://BUCKET, gs://BUCKET, azblob://CONTAINER or file:///DIRECTORY, or mem:// to lose everything at the end; not %q", o.URL)
	return p.Err()
}

// Validate reports settings that cannot work.
func (t Tracing) Validate() error {
	var p setting.Problems
	u, err := url.Parse(t.OTLPEndpoint)
	p.Require(t.OTLPEndpoint == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
		"{otlp_endpoint} must be like http://HOST:4317 or https://HOST:4317, not %q", t.OTLPEndpoint)
	return p.Err()
}

// Validate reports settings that cannot work.
func (l Log) Validate() error {
	var p setting.Problems
	p.Require(slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(l.Level)), "{level} must be one of debug, info, warn, error, not %q", l.Level)
	return p.Err()
}

// memory checks that budgets have room for what must fit into them, and the process for all.
func (c Broker) memory(p *setting.Problems) {
	m, requests := c.Memory, c.Network.Requests
	image := c.largestImage()
	p.Require(m.WALBufferBytes >= image,
		"{memory.wal_buffer_bytes} (%d) has no room for the largest request; with {network.max_request_bytes} (%d) and {requests.max_partitions} (%d) it must be at least %d",
		m.WALBufferBytes, requests.MaxFrameBytes, c.Requests.RequestPartitions, image)
	mostProduce, mostOther := admission.Largest(m.RequestBudgetBytes)
	produce, other := requests.FrameMemory()
	p.Require(mostProduce >= produce && mostOther >= other && m.RequestBudgetBytes/2 >= int64(requests.MaxFrameBytes) && m.RequestBudgetBytes/16 >= int64(requests.MaxControlBytes),
		"{memory.request_budget_bytes} (%d) has no room for the largest request; it must be at least twice {network.max_request_bytes} (%d) and 16 times {network.max_control_request_bytes} (%d); frames are rounded up by as much as a quarter",
		m.RequestBudgetBytes, requests.MaxFrameBytes, requests.MaxControlBytes)
	p.Require(m.ResponseBudgetBytes >= int64(c.Fetch.MaxBytes),
		"{memory.response_budget_bytes} (%d) must have room for one answer of {fetch.max_bytes} (%d)", m.ResponseBudgetBytes, c.Fetch.MaxBytes)
	p.Add(c.fits())
}

// largestImage is what the log needs for the largest request alone: its batches, a row
// for each, and whole blocks.
func (c Broker) largestImage() int64 {
	const row, least, head = 64, 64, 8 << 10 // bytes in the log's table, of a batch in a request, and around all
	request := int64(c.Network.Requests.MaxFrameBytes)
	return blockfs.BufferSize(request + row*min(int64(c.Requests.RequestPartitions), request/least) + head)
}
