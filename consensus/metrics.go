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

func newMetrics(c *Cluster, reg prometheus.Registerer) metrics {
	p := c.out
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
	offline := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_shards_offline",
		Help: "Metadata shards that were not started because their logs are damaged or incomplete."},
		func() float64 { return float64(len(c.host.offline)) })
	reserve := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_reserve_bytes",
		Help: "Space on the metadata disk that no other program can take."},
		func() float64 { return float64(c.host.reserve.Bytes()) })
	full := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_disk_full",
		Help: "1 while part of the reserve is in use because the metadata disk is full."},
		func() float64 {
			if c.host.reserve.Used() {
				return 1
			}
			return 0
		})
	logs := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_log_bytes",
		Help: "Bytes of changes since the shards' last snapshots, which a start replays."}, func() float64 {
		n := int64(0)
		for _, l := range c.logs {
			n += l.bytes.Load()
		}
		return float64(n)
	})
	for _, outcome := range []string{applied, unavailable} {
		m.proposals.WithLabelValues(outcome)
	}
	reg.MustRegister(offline, reserve, full, logs, m.bytes)
	reg.MustRegister(m.proposals, m.seconds, m.views, m.repairs, topics)
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
