package admission

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

// Parts of the budget: three 32nds for requests other than produce, so that consumers
// and groups go on while producers are held, as much for what requests that name very
// much are decoded into and answered with, and a sixteenth for fetches that wait, which
// egress/fetch shares out: what waits for long must not be in the way of what does not.
// The rest is for produce.
func parts(bytes int64) (produce, control, work, waiting int64) {
	of := bytes / 32
	return bytes - 8*of, 3 * of, 3 * of, 2 * of
}

// Waiting returns how much of a budget of so many bytes is for fetches that wait.
func Waiting(bytes int64) int64 {
	_, _, _, n := parts(bytes)
	return n
}

// NewGate divides bytes.
func NewGate(bytes int64, reg prometheus.Registerer) *Gate {
	produce, control, work, _ := parts(bytes)
	g := &Gate{produce: pipeline.NewBudget(produce), control: pipeline.NewBudget(control), work: pipeline.NewBudget(work)}
	for class, b := range map[string]*pipeline.Budget{"produce": g.produce, "other": g.control, "work": g.work} {
		labels := prometheus.Labels{"class": class}
		gauge := func(name, help string, value func() float64) prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
		}
		reg.MustRegister(
			gauge("sluice_request_budget_used_bytes", "Bytes of requests between their arrival and settlement.", func() float64 { return float64(b.InUse()) }),
			gauge("sluice_request_budget_bytes", "Bytes of requests that may be in the broker at once.", func() float64 { return float64(b.Capacity()) }),
			gauge("sluice_request_budget_waiting", "Requests that wait for room in the budget.", func() float64 { return float64(b.Waiters()) }),
		)
	}
	return g
}

// Largest returns how much one frame of produce, and one of anything else, can take
// of a budget of so many bytes.
func Largest(bytes int64) (produce, other int64) {
	produce, other, _, _ = parts(bytes)
	return pipeline.LargestOf(produce), pipeline.LargestOf(other)
}

// Frame begins the claim of a request frame of so many bytes, which grows as they
// come and is released when the request has settled and its answer is out, or when
// what is left of the request is charged elsewhere.
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
