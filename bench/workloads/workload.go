package workloads

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Workload is one workload. Load fills in what a file omits.
type Workload struct {
	Name  string `toml:"name" json:"name"`
	About string `toml:"about" json:"about"`
	// Kind is load, or idle: the server is observed without load.
	Kind string `toml:"kind" json:"kind"`

	RecordBytes int `toml:"record_bytes" json:"record_bytes"`
	Partitions  int `toml:"partitions" json:"partitions"`
	// RunBytes is how many bytes a producer sends to one partition before it moves to the next.
	// The sequence of partitions is the same for every system.
	RunBytes int `toml:"run_bytes" json:"run_bytes"`

	Producers int `toml:"producers" json:"producers"`
	// Each group reads everything, from the end of the log when the load starts; Consumers
	// share a group's partitions.
	Groups    int `toml:"groups" json:"groups"`
	Consumers int `toml:"consumers" json:"consumers"`
	// BacklogRecords are produced before the load starts, and read from the start by one extra
	// consumer while it runs.
	BacklogRecords int64 `toml:"backlog_records" json:"backlog_records"`
	// BacklogRate is how many of them are read per second; 0 means as fast as possible.
	BacklogRate float64 `toml:"backlog_rate" json:"backlog_rate"`
	// BacklogElsewhere puts the backlog on another server of the same system, so that reading
	// it takes the same share of the machine and nothing of the measured server.
	BacklogElsewhere bool `toml:"backlog_elsewhere" json:"backlog_elsewhere"`

	// BurstS is how long all producers run at full speed before the load, which starts once all
	// of that is acknowledged.
	BurstS float64 `toml:"burst_s" json:"burst_s"`

	// Rate is records per second over all producers, on a fixed schedule whatever the server
	// does; latencies count from the schedule. 0 means as fast as possible, within the window.
	Rate float64 `toml:"rate" json:"rate"`
	// InFlight is the window of one producer: records sent and not acknowledged.
	InFlight int `toml:"in_flight" json:"in_flight"`

	// Options of Kafka clients only.
	Compression string  `toml:"compression" json:"compression"`
	Acks        string  `toml:"acks" json:"acks"`
	LingerMS    float64 `toml:"linger_ms" json:"linger_ms"`
	BatchBytes  int     `toml:"batch_bytes" json:"batch_bytes"`
	// Connections is the number of QUIC connections shared by all clients of a run.
	Connections int `toml:"connections" json:"connections"`

	// Streams is an option of JetStream only: the number of streams that share the partitions,
	// each of which is a subject.
	Streams int `toml:"streams" json:"streams"`

	// WarmupS is not measured. After it, the load lasts for DurationS, or until Records have
	// been sent if that is not 0.
	WarmupS   float64 `toml:"warmup_s" json:"warmup_s"`
	DurationS float64 `toml:"duration_s" json:"duration_s"`
	Records   int64   `toml:"records" json:"records"`

	// Systems are the systems that the suite runs the workload on.
	Systems []string `toml:"systems" json:"systems"`
}

// Values in a file.
const (
	KindLoad = "load"
	KindIdle = "idle"
)

var (
	compressions = []string{"none", "gzip", "snappy", "lz4", "zstd"}
	acks         = []string{"all", "leader", "none"}
	systems      = []string{"sluice-tcp", "sluice-tls", "sluice-quic", "kafka-tcp", "kafka-tls", "jetstream", "jetstream-sync", "echo"}
)

// defaults returns the defaults of a file.
func defaults() Workload {
	return Workload{Kind: KindLoad, RecordBytes: 1024, Partitions: 8, RunBytes: 64 << 10, Producers: 2, Consumers: 1,
		InFlight: 4096, Compression: "none", Acks: "all", BatchBytes: 256 << 10, Connections: 1, Streams: 1,
		WarmupS: 2, DurationS: 8, Systems: []string{"sluice-tcp", "sluice-quic", "jetstream"}}
}

// Warmup returns WarmupS as a duration.
func (w Workload) Warmup() time.Duration { return seconds(w.WarmupS) }

// Duration returns DurationS as a duration.
func (w Workload) Duration() time.Duration { return seconds(w.DurationS) }

// Burst returns BurstS as a duration.
func (w Workload) Burst() time.Duration { return seconds(w.BurstS) }

// Linger returns LingerMS as a duration.
func (w Workload) Linger() time.Duration { return seconds(w.LingerMS / 1000) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Partition returns the partition of a producer's i-th record.
func (w Workload) Partition(producer int, i int64) int32 {
	run := int64(max(1, w.RunBytes/w.RecordBytes))
	offset := int64(producer) * int64(w.Partitions) / int64(w.Producers)
	return int32((offset + i/run) % int64(w.Partitions))
}

// StampBytes is the size of the stamp at the start of each record: due time and number.
const StampBytes = 16

// Validate reports a setting that cannot work.
func (w Workload) Validate() error {
	positive := map[string]int{"partitions": w.Partitions, "run_bytes": w.RunBytes, "producers": w.Producers,
		"consumers": w.Consumers, "in_flight": w.InFlight, "batch_bytes": w.BatchBytes, "connections": w.Connections, "streams": w.Streams}
	for _, key := range slices.Sorted(maps.Keys(positive)) {
		if positive[key] < 1 {
			return fmt.Errorf("%s must be 1 or more", key)
		}
	}
	switch {
	case w.Streams > w.Partitions:
		return errors.New("streams must not be more than partitions")
	case w.Name == "":
		return errors.New("name is missing")
	case w.Kind != KindLoad && w.Kind != KindIdle:
		return fmt.Errorf("kind %q is not known; use load or idle", w.Kind)
	case w.RecordBytes < StampBytes:
		return fmt.Errorf("record_bytes must be %d or more, as a record carries the time it was due", StampBytes)
	case w.Groups < 0 || w.BacklogRecords < 0 || w.BacklogRate < 0 || w.Rate < 0 || w.LingerMS < 0 || w.WarmupS < 0 || w.BurstS < 0 || w.Records < 0:
		return errors.New("groups, backlog_records, backlog_rate, burst_s, rate, linger_ms, warmup_s and records must not be negative")
	case w.BacklogElsewhere && w.BacklogRecords == 0:
		return errors.New("backlog_elsewhere needs backlog_records")
	case w.DurationS <= 0 && w.Records == 0:
		return errors.New("duration_s or records must be more than 0")
	}
	return w.validateNames()
}

func (w Workload) validateNames() error {
	if err := oneOf("compression", w.Compression, compressions); err != nil {
		return err
	}
	if err := oneOf("acks", w.Acks, acks); err != nil {
		return err
	}
	for _, s := range w.Systems {
		if err := oneOf("system", s, systems); err != nil {
			return err
		}
	}
	return nil
}

func oneOf(key, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s %q is not known; use one of %s", key, value, strings.Join(known, ", "))
}
