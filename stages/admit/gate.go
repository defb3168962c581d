package admit

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/pipeline"
)

// produceKey is Kafka's API key of Produce.
const produceKey = 0

// Gate charges requests to the memory budget. Safe for concurrent use.
type Gate struct {
	produce, control, work *pipeline.Budget
}

// Parts of the budget: an eighth for requests other than produce, so that consumers
// and groups go on while producers are held, and an eighth for what requests that
// name very much are decoded into and answered with. The rest is for produce.
const part = 8

// NewGate divides bytes.
func NewGate(bytes int64, reg prometheus.Registerer) *Gate {
	g := &Gate{produce: pipeline.NewBudget(bytes - 2*(bytes/part)), control: pipeline.NewBudget(bytes / part), work: pipeline.NewBudget(bytes / part)}
	for class, b := range map[string]*pipeline.Budget{"produce": g.produce, "other": g.control, "work": g.work} {
		labels := prometheus.Labels{"class": class}
		gauge := func(name, help string, value func() float64) prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
		}
		reg.MustRegister(
			gauge("sluice_admit_budget_used_bytes", "Bytes of requests between their arrival and settlement.", func() float64 { return float64(b.InUse()) }),
			gauge("sluice_admit_budget_bytes", "Bytes of requests that may be in the broker at once.", func() float64 { return float64(b.Capacity()) }),
			gauge("sluice_admit_budget_waiting", "Requests that wait for room in the budget.", func() float64 { return float64(b.Waiters()) }),
		)
	}
	return g
}

// Largest returns how much one frame of produce, and one of anything else, can take
// of a budget of so many bytes.
func Largest(bytes int64) (produce, other int64) {
	return pipeline.LargestOf(bytes - 2*(bytes/part)), pipeline.LargestOf(bytes / part)
}

// Frame begins the claim of a request frame of so many bytes, which grows as they
// come and is released when the request has settled and its answer is out.
func (g *Gate) Frame(who pipeline.Holder, key int16, bytes int64) *pipeline.Claim {
	if key == produceKey {
		return g.produce.Claim(who, bytes)
	}
	return g.control.Claim(who, bytes)
}

// Work begins the claim of what a request that names much is decoded into and
// answered with. One that would be larger than any can be is cut down to that.
func (g *Gate) Work(who pipeline.Holder, bytes int64) *pipeline.Claim {
	return g.work.Claim(who, min(bytes, g.work.Largest()))
}
