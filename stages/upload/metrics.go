package upload

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
)

// Steps of an upload that may fail.
const (
	stepCut       = "cut"       // of a stretch of the WAL into objects
	stepProducers = "producers" // writing what is remembered of idempotent producers
	stepCommit    = "commit"    // telling the metadata
	stepPartition = "partition" // an attempt with a partition that was set aside
)

type metrics struct {
	objects, bytes prometheus.Counter
	swept          prometheus.Counter
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
		swept: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_swept_objects_total",
			Help: "Deletions of objects that nothing refers to any more. One that a late PUT may bring back is deleted twice."}),
		sections: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_producer_bytes_total",
			Help: "Bytes of objects with snapshots of idempotent producers written to the object store."}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_upload_forgotten_producers_total",
			Help: "Idempotent producers left out of the snapshots, since there are too many: after a restart a retry of theirs is not recognised."}),
		seconds: prometheus.NewHistogram(histogram.Seconds("sluice_upload_object_seconds",
			"Time to write one object.", 5*time.Millisecond, 2*time.Minute)),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_upload_failures_total",
			Help: "Attempts that failed and were tried again, by step."}, []string{"step"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_upload_cuts_total",
			Help: "Stretches of the WAL that were uploaded, by what made them due."}, []string{"reason"}),
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_upload_partitions_quarantined",
		Help: "Partitions that take no records since what they have in the WAL cannot be uploaded."},
		func() float64 { return float64(quarantined.Load()) }))
	for _, r := range []string{bySize, byAge, Pressure, Index} {
		m.cuts.WithLabelValues(r)
	}
	for _, s := range []string{stepCut, stepProducers, stepCommit, stepPartition} {
		m.failures.WithLabelValues(s)
	}
	reg.MustRegister(m.objects, m.bytes, m.swept, m.sections, m.forgotten, m.seconds, m.failures, m.cuts)
	return m
}
