package report

import (
	"html/template"
	"math"
	"strconv"

	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

// plots returns the pictures of a workload.
func (s *Suite) plots(w workloads.Workload) []template.HTML {
	var out []template.HTML
	add := func(picture string) {
		if picture != "" {
			out = append(out, template.HTML(picture)) // package svg escapes all text
		}
	}
	switch {
	case w.Kind == workloads.KindIdle:
		add(s.bars(w, "memory", "MB resident", func(r Run) float64 { return float64(r.MaxRSS) / 1e6 }))
		add(s.bars(w, "CPU", "% of a core", func(r Run) float64 { return r.ServerCores * 100 }))
		return out
	case w.Rate > 0:
		add(s.bars(w, "p99 of produce", "ms", produceP99.value))
		add(s.bars(w, "p99 end to end", "ms", deliverP99.value))
	default:
		add(s.bars(w, "throughput", "records a second", throughput.value))
	}
	add(s.bars(w, "server CPU", "seconds a GB", cpu.value))
	add(s.percentiles(w, "latency of produce", func(r Run) load.Latency { return r.Produce }))
	add(s.percentiles(w, "latency end to end", func(r Run) load.Latency { return r.EndToEnd }))
	add(s.timeline(w, "acknowledged over time", "records a second", func(p load.Sample) float64 { return p.RecordsPerS }))
	add(s.timeline(w, "server memory over time", "MB", func(p load.Sample) float64 { return float64(p.RSS) / 1e6 }))
	return out
}

func (s *Suite) bars(w workloads.Workload, title, unit string, value func(Run) float64) string {
	var names []string
	var values []Spread
	for _, system := range s.systems(w.Name) {
		var v []float64
		for _, r := range s.runs(w.Name, system) {
			v = append(v, value(r))
		}
		if spread := NewSpread(v); spread.Max > 0 {
			names, values = append(names, system), append(values, spread)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return bars(title, unit, names, values)
}

// middle returns the run with the median throughput.
func middle(runs []Run) Run {
	v := make([]float64, len(runs))
	for i, r := range runs {
		v[i] = r.RecordsPerS
	}
	median, best := NewSpread(v).Median, 0
	for i := range runs {
		if math.Abs(v[i]-median) < math.Abs(v[best]-median) {
			best = i
		}
	}
	return runs[best]
}

// Percentiles are plotted by the number of nines: 90 % is 1, 99 % is 2.
const mostNines = 4

func nines(percentile float64) float64 {
	return min(-math.Log10(max(1-percentile/100, 1e-9)), mostNines) / mostNines
}

func (s *Suite) percentiles(w workloads.Workload, title string, of func(Run) load.Latency) string {
	var curves []curveOf
	lo, hi := math.Inf(1), 0.0
	for _, system := range s.systems(w.Name) {
		c := curveOf{system: system}
		for _, p := range of(middle(s.runs(w.Name, system))).Curve {
			c.x, c.y = append(c.x, nines(p.Percentile)), append(c.y, p.MS)
			lo, hi = min(lo, p.MS), max(hi, p.MS)
		}
		if len(c.x) > 0 {
			curves = append(curves, c)
		}
	}
	if len(curves) == 0 {
		return ""
	}
	labels, at := []string{"0", "50", "90", "99", "99.9", "99.99 %"}, []float64{nines(0), nines(50), nines(90), nines(99), nines(99.9), nines(99.99)}
	return lines(title, "ms, by percentile", logAxis(plotHeight-bottomMargin, top, lo, hi), labels, at, curves)
}

func (s *Suite) timeline(w workloads.Workload, title, unit string, of func(load.Sample) float64) string {
	var curves []curveOf
	most, end := 0.0, 0.0
	for _, system := range s.systems(w.Name) {
		for _, p := range middle(s.runs(w.Name, system)).Timeline {
			most, end = max(most, of(p)), max(end, p.At)
		}
	}
	if most == 0 || end == 0 {
		return ""
	}
	for _, system := range s.systems(w.Name) {
		c := curveOf{system: system}
		for _, p := range middle(s.runs(w.Name, system)).Timeline {
			c.x, c.y = append(c.x, p.At/end), append(c.y, of(p))
		}
		if len(c.x) > 0 {
			curves = append(curves, c)
		}
	}
	var labels []string
	var at []float64
	for _, v := range (axis{max: end}).ticks() {
		labels, at = append(labels, strconv.FormatFloat(v, 'g', 4, 64)+" s"), append(at, v/end)
	}
	return lines(title, unit, axis{from: plotHeight - bottomMargin, to: top, max: most * 1.05}, labels, at, curves)
}
