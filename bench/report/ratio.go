package report

import (
	"fmt"
	"slices"

	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

// Spread is the range of a value over the rounds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Rounds int     `json:"rounds"`
}

// NewSpread summarizes values, at least one.
func NewSpread(values []float64) Spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Min: v[0], Median: (v[(n-1)/2] + v[n/2]) / 2, Max: v[n-1], Rounds: n}
}

// Ratio compares two values of the same round, or one with a limit.
type Ratio struct {
	Workload string `json:"workload"`
	What     string `json:"what"`
	Spread
	// Goal is what the median should reach (or, if Below, stay under); 0: no goal.
	Goal  float64 `json:"goal,omitempty"`
	Below bool    `json:"below,omitempty"`
}

// Verdict says whether the goal is met; empty without a goal.
func (r Ratio) Verdict() string {
	met := r.Median >= r.Goal
	if r.Below {
		met = r.Median <= r.Goal
	}
	switch {
	case r.Goal == 0:
		return ""
	case met:
		return "met"
	default:
		return "NOT MET"
	}
}

func (r Ratio) String() string {
	s := fmt.Sprintf("%-18s %-52s %6.2f  (%.2f to %.2f, %d rounds)", r.Workload, r.What, r.Median, r.Min, r.Max, r.Rounds)
	if r.Goal == 0 {
		return s
	}
	word := "at least"
	if r.Below {
		word = "at most"
	}
	return fmt.Sprintf("%s  goal %s %.2f: %s", s, word, r.Goal, r.Verdict())
}

// metric is a figure of a run.
type metric struct {
	name  string
	value func(Run) float64
}

var (
	throughput = metric{"records a second", func(r Run) float64 { return r.RecordsPerS }}
	cpu        = metric{"server CPU a GB", func(r Run) float64 { return r.ServerCPUPerGB }}
	produceP99 = metric{"p99 of produce", func(r Run) float64 { return r.Produce.P99 }}
	deliverP99 = metric{"p99 end to end", func(r Run) float64 { return r.EndToEnd.P99 }}
	backlog    = metric{"backlog read", func(r Run) float64 { return r.BacklogMBPerS }}
)

// pair is two systems to compare, with goals by workload.
type pair struct {
	a, b  string
	goals map[string]float64 // for throughput
}

var pairs = []pair{
	{"sluice-tcp", "kafka-tcp", map[string]float64{"1KiB-8p": 1.8, "128B-8p": 2}},
	{"sluice-quic", "kafka-tls", map[string]float64{"1KiB-8p": 0.8}},
	{"sluice-tcp", "jetstream", map[string]float64{"1KiB-8p": 2}},
	{"sluice-quic", "jetstream", map[string]float64{"1KiB-8p": 1}},
	{"sluice-tcp", "jetstream-sync", nil},
	{"sluice-quic", "echo-ack", map[string]float64{"1KiB-8p": 0.7}},
	{"sluice-quic", "echo-full", map[string]float64{"1KiB-8p": 0.7}},
}

// costs are the maximum CPU seconds that a server may use per GB of a workload.
var costs = []struct {
	workload, system string
	goal             float64
}{
	{"1KiB-8p", "sluice-tcp", 1.5},
	{"1KiB-8p", "sluice-quic", 3.2},
}

// Compute fills Ratios from Runs.
func (s *Suite) Compute() {
	s.Ratios = nil
	for _, w := range s.Workloads {
		if w.Kind == workloads.KindIdle {
			s.idle(w.Name)
			continue
		}
		for _, p := range pairs {
			s.compare(w, p)
		}
	}
	s.costs()
	s.partitions("sluice-tcp", 0.8)
	s.partitions("jetstream", 0)
	s.overload("overload")
	s.beside("sluice-tcp", 1.2)
}

// compare adds the relevant comparisons of two systems: latencies at a fixed rate, otherwise
// throughput.
func (s *Suite) compare(w workloads.Workload, p pair) {
	metrics := []metric{throughput, cpu}
	if w.Rate > 0 {
		metrics = []metric{produceP99, deliverP99, backlog, cpu}
	}
	for _, m := range metrics {
		values := ratios(s.runs(w.Name, p.a), s.runs(w.Name, p.b), m)
		if len(values) == 0 {
			continue
		}
		r := Ratio{Workload: w.Name, What: fmt.Sprintf("%s, %s / %s", m.name, p.a, p.b), Spread: NewSpread(values)}
		if m.name == throughput.name {
			r.Goal = p.goals[w.Name]
		}
		s.Ratios = append(s.Ratios, r)
	}
}

// costs adds the CPU time per GB of the servers that have a goal.
func (s *Suite) costs() {
	for _, c := range costs {
		var values []float64
		for _, r := range s.runs(c.workload, c.system) {
			values = append(values, r.ServerCPUPerGB)
		}
		if len(values) > 0 {
			s.Ratios = append(s.Ratios, Ratio{Workload: c.workload, What: c.system + ", CPU seconds a GB of the server",
				Spread: NewSpread(values), Goal: c.goal, Below: true})
		}
	}
}

// ratios divides a by b in each round that has both.
func ratios(a, b []Run, m metric) []float64 {
	var out []float64
	for _, x := range a {
		for _, y := range b {
			if v := m.value(y); x.Round == y.Round && v > 0 && m.value(x) > 0 {
				out = append(out, m.value(x)/v)
			}
		}
	}
	return out
}

// partitions compares many partitions with few, on one system.
func (s *Suite) partitions(system string, goal float64) {
	const many, few = "10k-partitions", "10-partitions"
	if values := ratios(s.runs(many, system), s.runs(few, system), throughput); len(values) > 0 {
		s.Ratios = append(s.Ratios, Ratio{Workload: many, What: fmt.Sprintf("%s, %s / %s", throughput.name, system, few),
			Spread: NewSpread(values), Goal: goal})
	}
}

// beside compares a tail reader while a backlog is read with the tail reader alone, and with
// one while the same backlog is read from another server. In the last case the backlog reader
// uses as much of the machine, so the difference is the effect of sharing a server.
func (s *Suite) beside(system string, goal float64) {
	const with, slow = "tail-with-backlog", "tail-with-slow-backlog"
	for _, c := range []struct {
		with, against string
		goal          float64
	}{
		{with, "tail-alone", goal}, {slow, "tail-alone", goal},
		{with, "tail-beside-backlog", goal}, {slow, "tail-beside-slow-backlog", goal},
	} {
		for _, m := range []metric{deliverP99, produceP99} {
			if values := ratios(s.runs(c.with, system), s.runs(c.against, system), m); len(values) > 0 {
				s.Ratios = append(s.Ratios, Ratio{Workload: c.with, What: fmt.Sprintf("%s, %s / %s", m.name, system, c.against),
					Spread: NewSpread(values), Goal: c.goal, Below: true})
			}
		}
	}
}

const (
	idleMB      = 60
	idlePercent = 2
	flatGoal    = 1.1
)

// idle adds the resource usage of an idle node.
func (s *Suite) idle(workload string) {
	for _, system := range s.systems(workload) {
		var mb, percent []float64
		for _, r := range s.runs(workload, system) {
			mb = append(mb, float64(r.MaxRSS)/1e6)
			percent = append(percent, r.ServerCores*100)
		}
		memory := Ratio{Workload: workload, What: system + ", MB resident at most", Spread: NewSpread(mb), Below: true}
		cores := Ratio{Workload: workload, What: system + ", % of a core", Spread: NewSpread(percent), Below: true}
		if system == "sluice-tcp" {
			memory.Goal, cores.Goal = idleMB, idlePercent
		}
		s.Ratios = append(s.Ratios, memory, cores)
	}
}

// overload adds whether memory is bounded and flat.
func (s *Suite) overload(workload string) {
	for _, system := range s.systems(workload) {
		var bounded, flat []float64
		for _, r := range s.runs(workload, system) {
			if s.Budgets > 0 {
				bounded = append(bounded, float64(r.PeakRSS)/(float64(s.Budgets)+idleMB*1e6))
			}
			if f, ok := flatness(r.Timeline); ok {
				flat = append(flat, f)
			}
		}
		ours := system != "jetstream"
		if len(bounded) > 0 && ours {
			s.Ratios = append(s.Ratios, Ratio{Workload: workload, What: fmt.Sprintf("%s, peak memory / (budgets + %d MB)", system, idleMB),
				Spread: NewSpread(bounded), Goal: 1, Below: true})
		}
		if len(flat) > 0 {
			r := Ratio{Workload: workload, What: system + ", memory in the last third / the third before", Spread: NewSpread(flat), Below: true}
			if ours {
				r.Goal = flatGoal
			}
			s.Ratios = append(s.Ratios, r)
		}
	}
}

// flatness divides the maximum memory in the last third of a run by that in the middle third;
// false if there are too few samples.
func flatness(t []load.Sample) (float64, bool) {
	third := len(t) / 3
	if third == 0 {
		return 0, false
	}
	most := func(part []load.Sample) (m int64) {
		for _, s := range part {
			m = max(m, s.RSS)
		}
		return m
	}
	before, last := most(t[len(t)-2*third:len(t)-third]), most(t[len(t)-third:])
	if before == 0 {
		return 0, false
	}
	return float64(last) / float64(before), true
}
