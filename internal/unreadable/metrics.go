package unreadable

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	reads map[string]*[reasons]prometheus.Counter // by source
}

func newMetrics(reg prometheus.Registerer, count func(source string) float64) metrics {
	m := metrics{reads: make(map[string]*[reasons]prometheus.Counter)}
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_unreadable_reads_total",
		Help: "Reads that could not be served, by where the records should be (object, wal) and the reason."}, []string{"source", "reason"})
	reg.MustRegister(failures)
	for _, source := range []string{"object", "wal"} {
		m.reads[source] = new([reasons]prometheus.Counter)
		for r := range reasons {
			m.reads[source][r] = failures.WithLabelValues(source, r.String())
		}
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_unreadable_locations",
			Help:        "Objects, blocks of objects and batches in the WAL that readers found missing or damaged and have not read since.",
			ConstLabels: prometheus.Labels{"source": source}}, func() float64 { return count(source) }))
	}
	return m
}
