package upload

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
)

// Steps of an upload that may fail.
const (
	stepObjects   = "objects"   // writing a cut of the WAL to objects
	stepProducers = "producers" // writing snapshots of idempotent producers
	stepCommit    = "commit"    // committing to the metadata
	stepPartition = "partition" // an attempt with an isolated partition
)

type metrics struct {
	objects, bytes prometheus.Counter
	deleted        prometheus.Counter
	sections       prometheus.Counter
	forgotten      prometheus.Counter
	seconds        prometheus.Histogram
	failures, cuts *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, quarantined *atomic.Int64) metrics {
	m := metrics{
		objects: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_objects_total",
			Help: "Objects written to the object store."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_bytes_total",
			Help: "Bytes of record batches written to the object store."}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_garbage_deleted_total",
			Help: "Deletions of unreferenced objects. An object that a late PUT may bring back is deleted twice."}),
		sections: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_producer_bytes_total",
			Help: "Bytes of producer snapshots written to the object store."}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_forgotten_producers_total",
			Help: "Idempotent producers dropped from the snapshots because there are too many: after a restart their retries are not recognised as duplicates."}),
		seconds: prometheus.NewHistogram(histogram.Seconds("sluice_upload_object_seconds",
			"Time to write one object.", 5*time.Millisecond, 2*time.Minute)),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_upload_failures_total",
			Help: "Failed attempts, by step; they are retried."}, []string{"step"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_uploads_total",
			Help: "Uploads started, by what made them due."}, []string{"reason"}),
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_upload_partitions_quarantined",
		Help: "Partitions that accept no records because their records in the WAL cannot be uploaded."},
		func() float64 { return float64(quarantined.Load()) }))
	for _, r := range []string{bySize, byCache, byAge, Pressure, Index} {
		m.cuts.WithLabelValues(r)
	}
	for _, s := range []string{stepObjects, stepProducers, stepCommit, stepPartition} {
		m.failures.WithLabelValues(s)
	}
	reg.MustRegister(m.objects, m.bytes, m.deleted, m.sections, m.forgotten, m.seconds, m.failures, m.cuts)
	return m
}
