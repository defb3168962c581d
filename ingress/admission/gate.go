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

// parts splits the budget: 3/32 for requests other than Produce, so that consumers and groups
// make progress while producers are held back; another 3/32 for the decoded form and the
// responses of large requests; 1/16 for waiting fetches, which egress/fetch divides among them,
// so that long waits do not delay short requests. Produce gets the rest.
func parts(bytes int64) (produce, control, work, waiting int64) {
	of := bytes / 32
	return bytes - 8*of, 3 * of, 3 * of, 2 * of
}

// Waiting returns the part of a budget of that many bytes that is reserved for waiting fetches.
func Waiting(bytes int64) int64 {
	_, _, _, n := parts(bytes)
	return n
}

// NewGate returns a gate over a budget of that many bytes.
func NewGate(bytes int64, reg prometheus.Registerer) *Gate {
	produce, control, work, _ := parts(bytes)
	g := &Gate{produce: pipeline.NewBudget(produce), control: pipeline.NewBudget(control), work: pipeline.NewBudget(work)}
	for class, b := range map[string]*pipeline.Budget{"produce": g.produce, "other": g.control, "work": g.work} {
		labels := prometheus.Labels{"class": class}
		gauge := func(name, help string, value func() float64) prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
		}
		reg.MustRegister(
			gauge("sluice_request_budget_used_bytes", "Bytes of requests that have arrived and not settled yet.", func() float64 { return float64(b.InUse()) }),
			gauge("sluice_request_budget_bytes", "Maximum bytes of requests in the broker at once.", func() float64 { return float64(b.Capacity()) }),
			gauge("sluice_request_budget_waiting", "Requests waiting for the budget.", func() float64 { return float64(b.Waiters()) }),
		)
	}
	return g
}

// Largest returns the largest Produce frame, and the largest other frame, that a budget of that
// many bytes admits.
func Largest(bytes int64) (produce, other int64) {
	produce, other, _, _ = parts(bytes)
	return pipeline.LargestOf(produce), pipeline.LargestOf(other)
}

// Frame starts the claim for a request frame of that many bytes. The claim grows as the bytes
// arrive and is released when the request has settled and its response has been sent, or when
// what remains of the request is charged elsewhere.
func (g *Gate) Frame(who pipeline.Holder, key int16, bytes int64) *pipeline.Claim {
	if key == produceKey {
		return g.produce.Claim(who, bytes)
	}
	return g.control.Claim(who, bytes)
}

// Work starts the claim for the decoded form and the response of a large request. It is capped
// at the largest claim that can be granted.
func (g *Gate) Work(who pipeline.Holder, bytes int64) *pipeline.Claim {
	return g.work.Claim(who, min(bytes, g.work.Largest()))
}
