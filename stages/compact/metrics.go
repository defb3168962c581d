package compact

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
)

// Kinds of jobs, and their outcomes.
const (
	merging  = "merge"
	cleaning = "clean"

	done      = "done"
	failed    = "failed"
	overtaken = "overtaken"
	givenUp   = "given_up"
)

type metrics struct {
	read, written     prometheus.Counter
	objects, replaced prometheus.Counter
	removed, emptied  prometheus.Counter
	passes, opaque    prometheus.Counter
	index             prometheus.Gauge
	jobs              *prometheus.CounterVec
	seconds           *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, t *throttle) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	m := metrics{
		read:     counter("sluice_compaction_read_bytes_total", "Bytes of blocks read from the object store by compaction."),
		written:  counter("sluice_compaction_written_bytes_total", "Bytes of record batches written to the object store by compaction."),
		objects:  counter("sluice_compaction_objects_total", "Objects written by compaction."),
		replaced: counter("sluice_compaction_replaced_total", "Object ranges replaced by compaction."),
		removed:  counter("sluice_compaction_removed_records_total", "Records removed by compaction by key."),
		emptied:  counter("sluice_compaction_removed_batches_total", "Batches emptied and removed by compaction by key."),
		passes:   counter("sluice_compaction_passes_total", "Passes of compaction by key; more than one per job when its keys do not fit into memory."),
		opaque:   counter("sluice_compaction_opaque_batches_total", "Batches that compaction by key kept unchanged because their records cannot be read."),
		index: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_compaction_index_bytes",
			Help: "Memory used by the key index."}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_compaction_jobs_total",
			Help: "Compaction jobs, by kind and outcome."}, []string{"kind", "outcome"}),
		seconds: prometheus.NewHistogramVec(histogram.Seconds("sluice_compaction_job_seconds",
			"Duration of compaction jobs.", 10*time.Millisecond, 40*time.Minute), []string{"kind"}),
	}
	for _, kind := range []string{merging, cleaning} {
		m.seconds.WithLabelValues(kind)
		for _, outcome := range []string{done, failed, overtaken, givenUp} {
			m.jobs.WithLabelValues(kind, outcome)
		}
	}
	reg.MustRegister(m.index, m.jobs, m.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_compaction_paused",
		Help: "1 while compaction is paused."}, func() float64 {
		if t.paused() {
			return 1
		}
		return 0
	}))
	return m
}
