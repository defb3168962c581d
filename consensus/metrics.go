package consensus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
)

type metrics struct {
	proposals *prometheus.CounterVec
	bytes     prometheus.Counter
	seconds   prometheus.Histogram
	views     prometheus.Counter
	repairs   prometheus.Counter
}

func newMetrics(p *projection, reg prometheus.Registerer) metrics {
	m := metrics{
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_metadata_proposals_total",
			Help: "Changes proposed to the metadata shards, by whether they were applied in time."}, []string{"outcome"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_metadata_proposed_bytes_total",
			Help: "Bytes of changes proposed to the metadata shards and written to their Raft logs."}),
		seconds: prometheus.NewHistogram(histogram.Seconds("sluice_metadata_proposal_seconds",
			"Time until a change was durable and applied, or abandoned.", 250*time.Microsecond, 8*time.Second)),
		views: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_metadata_views_total",
			Help: "Published snapshots of the metadata."}),
		repairs: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_metadata_repairs_total",
			Help: "Topics whose creation, growth or deletion was interrupted and then completed."}),
	}
	topics := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_topics", Help: "Topics."},
		func() float64 { return float64(p.view.Load().Size()) })
	for _, outcome := range []string{applied, unavailable} {
		m.proposals.WithLabelValues(outcome)
	}
	reg.MustRegister(m.bytes, m.proposals, m.seconds, m.views, m.repairs, topics)
	return m
}

// Outcomes of a proposal.
const (
	applied     = "applied"
	unavailable = "unavailable"
)

func (m metrics) proposed(took time.Duration, err error) {
	outcome := applied
	if err != nil {
		outcome = unavailable
	}
	m.proposals.WithLabelValues(outcome).Inc()
	m.seconds.Observe(took.Seconds())
}
