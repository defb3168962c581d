package failover

import (
	"fmt"
	"time"

	"github.com/sluicemq/sluice/internal/chaos/check"
	"github.com/sluicemq/sluice/internal/chaos/traffic"
)

// Event is one fault.
type Event struct {
	Node int `json:"node"` // from 1
	Led  int `json:"led"`  // partitions that the node led
	// The longest time without an acknowledgement of each partition, in the order of partitions.
	LedOutages   []time.Duration `json:"led_outages_ns"`
	OtherOutages []time.Duration `json:"other_outages_ns"`
	InSync       time.Duration   `json:"in_sync_ns"` // from the return until all replicas were in sync
	Return       time.Duration   `json:"return_ns"`  // longest time without an acknowledgement since the return
}

func event(node int, states []traffic.State, outages []time.Duration) Event {
	e := Event{Node: node + 1}
	for p, s := range states {
		if s.Leader == node {
			e.Led++
			e.LedOutages = append(e.LedOutages, outages[p])
		} else {
			e.OtherOutages = append(e.OtherOutages, outages[p])
		}
	}
	return e
}

func (e Event) String() string {
	return fmt.Sprintf("node %d, %d partitions led: longest without writes %s, %d others %s; in sync %s after its return, longest without writes %s",
		e.Node, e.Led, ms(worst(e.LedOutages)), len(e.OtherOutages), ms(worst(e.OtherOutages)), ms(e.InSync), ms(e.Return))
}

// Report is the result of a measurement.
type Report struct {
	System string  `json:"system"`
	Fault  Fault   `json:"fault"`
	Events []Event `json:"events"`
	// Over the faults: the worst partition of each.
	Led    check.Distribution `json:"led"`
	Others check.Distribution `json:"others"`
	// Over the faults and partitions.
	LedEach    check.Distribution `json:"led_each"`
	OthersEach check.Distribution `json:"others_each"`
	Return     check.Distribution `json:"return"`

	Sent       int64        `json:"sent"`
	Failed     int64        `json:"failed"` // clients gave up
	FirstError string       `json:"first_error,omitempty"`
	Log        check.Result `json:"log"`
}

func (r *Report) compute() {
	var led, others, ledEach, othersEach, back []time.Duration
	for _, e := range r.Events {
		if len(e.LedOutages) > 0 {
			led = append(led, worst(e.LedOutages))
		}
		if len(e.OtherOutages) > 0 {
			others = append(others, worst(e.OtherOutages))
		}
		ledEach, othersEach = append(ledEach, e.LedOutages...), append(othersEach, e.OtherOutages...)
		back = append(back, e.Return)
	}
	r.Led, r.Others = check.Distribute(led), check.Distribute(others)
	r.LedEach, r.OthersEach, r.Return = check.Distribute(ledEach), check.Distribute(othersEach), check.Distribute(back)
}

// Lines is the report for people.
func (r Report) Lines() []string {
	lines := []string{fmt.Sprintf("%s, %d times %s: time without acknowledged writes, ms", r.System, len(r.Events), r.Fault),
		fmt.Sprintf("  %-42s %8s %8s %8s", "", "p50", "p99", "max")}
	for _, row := range []struct {
		what string
		d    check.Distribution
	}{
		{"led by the node: worst partition of a fault", r.Led}, {"led by the node: each partition", r.LedEach},
		{"led by others: worst partition of a fault", r.Others}, {"led by others: each partition", r.OthersEach},
		{"while the node returns: worst partition", r.Return},
	} {
		lines = append(lines, fmt.Sprintf("  %-44s %6s %8s %8s", row.what, ms(row.d.P50), ms(row.d.P99), ms(row.d.Max)))
	}
	lines = append(lines, fmt.Sprintf("  %d records sent, %d acknowledged, %d given up; the log has %d, of which %d were never acknowledged; a reader got %d meanwhile",
		r.Sent, r.Log.Acked, r.Failed, r.Log.Records, r.Log.Attempts, r.Log.Seen))
	if r.FirstError != "" {
		lines = append(lines, "  first record given up: "+r.FirstError)
	}
	return lines
}

// victim returns the next node, in turn, that leads a partition.
func victim(states []traffic.State, nodes, last int) int {
	for i := range nodes {
		node := (last + 1 + i) % nodes
		for _, s := range states {
			if s.Leader == node {
				return node
			}
		}
	}
	return (last + 1) % nodes
}

func worst(d []time.Duration) time.Duration {
	var out time.Duration
	for _, x := range d {
		out = max(out, x)
	}
	return out
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f", d.Seconds()*1000) }
