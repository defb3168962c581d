package workloads

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Workload is one piece of work. Load fills what a file leaves out.
type Workload struct {
	Name  string `toml:"name" json:"name"`
	About string `toml:"about" json:"about"`
	// Kind is load, or idle: the server is watched while nobody talks to it.
	Kind string `toml:"kind" json:"kind"`

	RecordBytes int `toml:"record_bytes" json:"record_bytes"`
	Partitions  int `toml:"partitions" json:"partitions"`
	// RunBytes is how much a producer gives to one partition before it goes on to
	// the next. The sequence of partitions is the same for every system.
	RunBytes int `toml:"run_bytes" json:"run_bytes"`

	Producers int `toml:"producers" json:"producers"`
	// Groups read everything each, from where the log ends when the load begins;
	// Consumers share a group's partitions.
	Groups    int `toml:"groups" json:"groups"`
	Consumers int `toml:"consumers" json:"consumers"`
	// BacklogRecords are produced before the load begins, and read from the start
	// by one consumer more while it runs.
	BacklogRecords int64 `toml:"backlog_records" json:"backlog_records"`
	// BacklogRate is how many records of it are read a second; 0 is as fast as it goes.
	BacklogRate float64 `toml:"backlog_rate" json:"backlog_rate"`
	// BacklogElsewhere has the backlog on another server of the same system, so that
	// reading it takes the same of the machine and nothing of the server measured.
	BacklogElsewhere bool `toml:"backlog_elsewhere" json:"backlog_elsewhere"`

	// BurstS is for how long all producers go as fast as they can before the load begins,
	// which does so once all of that is acknowledged.
	BurstS float64 `toml:"burst_s" json:"burst_s"`

	// Rate is in records a second over all producers, and keeps to its timetable
	// whatever the server does; latencies count from the timetable. 0 is as fast as
	// it goes, within the window.
	Rate float64 `toml:"rate" json:"rate"`
	// InFlight is the window of one producer: records sent and not acknowledged.
	InFlight int `toml:"in_flight" json:"in_flight"`

	// What only clients of the Kafka protocol have.
	Compression string  `toml:"compression" json:"compression"`
	Acks        string  `toml:"acks" json:"acks"`
	LingerMS    float64 `toml:"linger_ms" json:"linger_ms"`
	BatchBytes  int     `toml:"batch_bytes" json:"batch_bytes"`
	// Connections is how many QUIC connections all clients of a run share.
	Connections int `toml:"connections" json:"connections"`

	// Streams is what only JetStream has: so many streams share the partitions, each
	// of which is a subject.
	Streams int `toml:"streams" json:"streams"`

	// WarmupS is not measured. After it, the load lasts for DurationS, or until
	// Records have been sent where that is not 0.
	WarmupS   float64 `toml:"warmup_s" json:"warmup_s"`
	DurationS float64 `toml:"duration_s" json:"duration_s"`
	Records   int64   `toml:"records" json:"records"`

	// Systems are what the suite runs the workload on.
	Systems []string `toml:"systems" json:"systems"`
}

// What a file may say.
const (
	KindLoad = "load"
	KindIdle = "idle"
)

var (
	compressions = []string{"none", "gzip", "snappy", "lz4", "zstd"}
	acks         = []string{"all", "leader", "none"}
	systems      = []string{"sluice-tcp", "sluice-tls", "sluice-quic", "kafka-tcp", "kafka-tls", "jetstream", "jetstream-sync", "echo"}
)

// defaults returns what a file does not have to say.
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

// Partition returns where the i-th record of a producer goes.
func (w Workload) Partition(producer int, i int64) int32 {
	run := int64(max(1, w.RunBytes/w.RecordBytes))
	offset := int64(producer) * int64(w.Partitions) / int64(w.Producers)
	return int32((offset + i/run) % int64(w.Partitions))
}

// StampBytes are at the start of each record: when it was due, and a number.
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
