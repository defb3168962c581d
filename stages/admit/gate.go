package admit

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/pipeline"
)

// produceKey is Kafka's API key of Produce.
const produceKey = 0

// Gate charges request frames to the memory budget. Safe for concurrent use.
type Gate struct {
	data, control *pipeline.Budget
}

// controlShare is the part of the budget kept for requests other than produce.
const controlShare = 16

// NewGate divides bytes between produce requests and all others.
func NewGate(bytes int64, reg prometheus.Registerer) *Gate {
	control := bytes / controlShare
	g := &Gate{data: pipeline.NewBudget(bytes - control), control: pipeline.NewBudget(control)}
	for class, b := range map[string]*pipeline.Budget{"produce": g.data, "other": g.control} {
		labels := prometheus.Labels{"class": class}
		reg.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_admit_budget_used_bytes", ConstLabels: labels,
				Help: "Bytes of requests between admission and settlement."}, func() float64 { return float64(b.InUse()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_admit_budget_bytes", ConstLabels: labels,
				Help: "Bytes of requests that may be in the broker at once."}, func() float64 { return float64(b.Capacity()) }),
		)
	}
	return g
}

// Enter waits until a request frame of so many bytes fits the budget; leave
// refunds it. A frame larger than the whole budget is an error at once.
func (g *Gate) Enter(ctx context.Context, key int16, bytes int64) (leave func(), err error) {
	b := g.control
	if key == produceKey {
		b = g.data
	}
	if err := b.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	return func() { b.Release(bytes) }, nil
}
