package consensus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	proposals *prometheus.CounterVec
	seconds   prometheus.Histogram
	views     prometheus.Counter
	repairs   prometheus.Counter
}

func newMetrics(p *projection, reg prometheus.Registerer) metrics {
	m := metrics{
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_metadata_proposals_total",
			Help: "Changes proposed to the metadata shards, by whether they were applied in time."}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_metadata_proposal_seconds",
			Help: "Time until a change was durable and applied, or given up.", Buckets: prometheus.ExponentialBuckets(250e-6, 2, 16)}),
		views: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_metadata_views_total",
			Help: "Snapshots of the metadata that were published."}),
		repairs: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_metadata_repairs_total",
			Help: "Topics whose creation, growth or deletion was cut off and then completed."}),
	}
	topics := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_topics", Help: "Topics."},
		func() float64 { return float64(len(p.view.Load().Topics())) })
	reg.MustRegister(m.proposals, m.seconds, m.views, m.repairs, topics)
	return m
}

func (m metrics) proposed(took time.Duration, err error) {
	outcome := "applied"
	if err != nil {
		outcome = "unavailable"
	}
	m.proposals.WithLabelValues(outcome).Inc()
	m.seconds.Observe(took.Seconds())
}
