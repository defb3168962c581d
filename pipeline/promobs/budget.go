package promobs

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/pipeline"
)

// Budget returns a collector of b, told apart by the label budget.
func Budget(name string, b *pipeline.Budget) prometheus.Collector {
	labels := []string{"budget"}
	return &budget{b, name,
		prometheus.NewDesc("sluice_pipeline_budget_used_bytes", "Bytes admitted and not settled.", labels, nil),
		prometheus.NewDesc("sluice_pipeline_budget_capacity_bytes", "Bytes that may be admitted.", labels, nil),
		prometheus.NewDesc("sluice_pipeline_budget_waiters", "Admissions that wait for bytes.", labels, nil),
	}
}

type budget struct {
	b                       *pipeline.Budget
	name                    string
	used, capacity, waiters *prometheus.Desc
}

func (c *budget) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.used
	ch <- c.capacity
	ch <- c.waiters
}

func (c *budget) Collect(ch chan<- prometheus.Metric) {
	gauge(ch, c.used, float64(c.b.InUse()), c.name)
	gauge(ch, c.capacity, float64(c.b.Capacity()), c.name)
	gauge(ch, c.waiters, float64(c.b.Waiters()), c.name)
}
