package group

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
)

type metrics struct {
	groups     [rebalance.States]prometheus.Gauge
	rebalances prometheus.Counter
	members    prometheus.Counter // removed
	commits    prometheus.Counter
	committed  prometheus.Counter
	expired    prometheus.Counter
	evicted    prometheus.Counter
	forgotten  prometheus.Counter
	refused    prometheus.Counter
	writes     prometheus.Counter
	failures   prometheus.Counter
}

func newMetrics(c *Coordinator, reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		m := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(m)
		return m
	}
	groups := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_groups", Help: "Consumer groups, by state."}, []string{"state"})
	reg.MustRegister(groups, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_group_metadata_bytes",
		Help: "Memory of groups with their members and offsets."},
		func() float64 { used, _ := c.Memory(); return float64(used) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_group_requests_waiting", Help: "Requests waiting for the eviction of other groups."},
			func() float64 { _, waiting := c.quota.now(); return float64(waiting) }))
	m := &metrics{
		rebalances: counter("sluice_group_rebalances_total", "Generations started."),
		members:    counter("sluice_group_members_removed_total", "Group members removed because they missed a timeout."),
		commits:    counter("sluice_group_commits_total", "Offset commits acknowledged."),
		committed:  counter("sluice_group_committed_offsets_total", "Offsets written."),
		expired:    counter("sluice_group_expired_offsets_total", "Offsets removed after their retention time."),
		forgotten:  counter("sluice_group_forgotten_total", "Groups that nobody had joined yet, dropped to free memory; their clients ask again."),
		evicted:    counter("sluice_group_evicted_total", "Groups without members evicted with their offsets, the longest unused first, to free memory."),
		refused:    counter("sluice_group_refused_total", "Requests refused because a limit on groups or their memory is reached."),
		writes:     counter("sluice_group_writes_total", "Writes of group state and offsets; one may carry many commits."),
		failures:   counter("sluice_group_write_failures_total", "Writes of group state and offsets that failed."),
	}
	for s := range m.groups {
		m.groups[s] = groups.WithLabelValues(rebalance.State(s).String())
	}
	return m
}

func (m *metrics) state(s rebalance.State, by float64) { m.groups[s].Add(by) }

func (m *metrics) wrote(c *change, err error) {
	m.writes.Inc()
	if err != nil {
		m.failures.Inc()
		return
	}
	m.committed.Add(float64(len(c.Set)))
}
