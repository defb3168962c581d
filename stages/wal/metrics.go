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
	waited, braked         prometheus.Counter
	write, flush           prometheus.Histogram
	failed                 prometheus.Gauge
}

// disk is an FS that knows how much room is left.
type disk interface{ FreeBytes() (int64, error) }

// registerDisk has the metric of the disk, where fs tells of it.
func registerDisk(fs blockfs.FS, reg prometheus.Registerer) {
	d, ok := fs.(disk)
	if !ok {
		return
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_wal_disk_free_bytes",
		Help: "Bytes that are left on the disk of the WAL; NaN if it does not say."}, func() float64 {
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
		groups:      counter("sluice_wal_groups_total", "Groups that were written."),
		bytes:       counter("sluice_wal_written_bytes_total", "Bytes that were written, heads and padding included."),
		payload:     counter("sluice_wal_payload_bytes_total", "Bytes of batches that were written."),
		reclaimed:   counter("sluice_wal_reclaimed_segments_total", "Segments given back after upload."),
		corruptions: counter("sluice_wal_corruptions_total", "Stretches that recovery found unreadable though they had been durable."),
		truncations: counter("sluice_wal_truncations_total", "Truncations of a partition that were written."),
		waited:      counter("sluice_wal_segment_wait_seconds_total", "Time that groups waited for a segment to have room in."),
		braked:      counter("sluice_wal_brake_seconds_total", "Time that groups were held back because the WAL was filling up faster than it was uploaded."),
		write: prometheus.NewHistogram(histogram.Seconds("sluice_wal_write_seconds",
			"Time from handing a group to the writer until its write returned.", 50*time.Microsecond, time.Second)),
		flush: prometheus.NewHistogram(histogram.Seconds("sluice_wal_flush_seconds",
			"Time of one background flush, with durability=interval.", 50*time.Microsecond, time.Second)),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_wal_failed",
			Help: "1 once a write failed and the WAL takes no more until a restart."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_wal_engine_info", Help: "How the WAL is written; always 1.",
		ConstLabels: prometheus.Labels{"engine": engine, "access": access, "durability": string(l.cfg.durability())}})
	info.Set(1)
	reg.MustRegister(m.groups, m.bytes, m.payload, m.reclaimed, m.corruptions, m.truncations, m.waited, m.braked, m.write, m.flush, m.failed, info,
		gauge("sluice_wal_used_bytes", "Bytes from the oldest segment to the end of the WAL.",
			func() float64 { used, _ := l.Usage(); return float64(used) }),
		gauge("sluice_wal_live_bytes", "Bytes on disk of segments that hold the WAL.",
			func() float64 { live, _ := l.segments.onDisk(); return float64(live) }),
		gauge("sluice_wal_spare_bytes", "Bytes on disk of segments that are ready to be used next.",
			func() float64 { _, spare := l.segments.onDisk(); return float64(spare) }),
		gauge("sluice_wal_capacity_bytes", "Bytes that all segments of the WAL may have.",
			func() float64 { return float64(l.cfg.CapacityBytes) }))
	return m
}
