package wal

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/histogram"
)

type metrics struct {
	groups, bytes, payload prometheus.Counter
	reclaimed, corruptions prometheus.Counter
	truncations            prometheus.Counter
	waited, throttled      prometheus.Counter
	write, flush           prometheus.Histogram
	failed                 prometheus.Gauge
}

// disk is an FS that knows how much space is left.
type disk interface{ FreeBytes() (int64, error) }

// registerDisk registers the disk metric, if fs reports free space.
func registerDisk(fs blockfs.FS, reg prometheus.Registerer) {
	d, ok := fs.(disk)
	if !ok {
		return
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_wal_disk_free_bytes",
		Help: "Free bytes on the disk of the WAL; NaN if unknown."}, func() float64 {
		free, err := d.FreeBytes()
		if err != nil {
			return math.NaN()
		}
		return float64(free)
	}))
}

func newMetrics(l *Log, engine, access string, reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m := metrics{
		groups:      counter("sluice_wal_groups_total", "Groups written."),
		bytes:       counter("sluice_wal_written_bytes_total", "Bytes written, including heads and padding."),
		payload:     counter("sluice_wal_payload_bytes_total", "Bytes of batches written."),
		reclaimed:   counter("sluice_wal_reclaimed_segments_total", "Segments reclaimed after upload."),
		corruptions: counter("sluice_wal_corruptions_total", "Ranges that recovery found damaged although they had been durable."),
		truncations: counter("sluice_wal_truncations_total", "Truncations of a partition written."),
		waited:      counter("sluice_wal_segment_wait_seconds_total", "Time groups spent waiting for space in a segment."),
		throttled:   counter("sluice_wal_throttle_seconds_total", "Time groups were delayed because the WAL was filling faster than it was uploaded."),
		write: prometheus.NewHistogram(histogram.Seconds("sluice_wal_write_seconds",
			"Time from submitting a group to the writer until its write returned.", 50*time.Microsecond, time.Second)),
		flush: prometheus.NewHistogram(histogram.Seconds("sluice_wal_flush_seconds",
			"Duration of a background flush, with durability=interval.", 50*time.Microsecond, time.Second)),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_wal_failed",
			Help: "1 once a write has failed and the WAL accepts no more until a restart."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_wal_engine_info", Help: "How the WAL is written; always 1.",
		ConstLabels: prometheus.Labels{"engine": engine, "access": access, "durability": string(l.cfg.durability())}})
	info.Set(1)
	reg.MustRegister(m.groups, m.bytes, m.payload, m.reclaimed, m.corruptions, m.truncations, m.waited, m.throttled, m.write, m.flush, m.failed, info,
		gauge("sluice_wal_used_bytes", "Bytes from the oldest segment to the end of the WAL.",
			func() float64 { used, _ := l.Usage(); return float64(used) }),
		gauge("sluice_wal_live_bytes", "Bytes on disk of segments in use.",
			func() float64 { live, _ := l.segments.onDisk(); return float64(live) }),
		gauge("sluice_wal_spare_bytes", "Bytes on disk of spare segments.",
			func() float64 { _, spare := l.segments.onDisk(); return float64(spare) }),
		gauge("sluice_wal_capacity_bytes", "Maximum bytes of all segments of the WAL.",
			func() float64 { return float64(l.cfg.CapacityBytes) }))
	return m
}
