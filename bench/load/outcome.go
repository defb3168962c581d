package load

import (
	"github.com/HdrHistogram/hdrhistogram-go"
)

// Outcome is the result of one run of one workload. Rates are over the measured time, after the
// warm-up.
type Outcome struct {
	Seconds       float64 `json:"seconds"`
	Acked         int64   `json:"acked"` // in the measured time
	RecordsPerS   float64 `json:"records_per_s"`
	MBPerS        float64 `json:"mb_per_s"` // MB are 10^6 bytes of record values
	ConsumedPerS  float64 `json:"consumed_per_s"`
	BacklogMBPerS float64 `json:"backlog_mb_per_s,omitempty"`

	Produce  Latency `json:"produce"`
	EndToEnd Latency `json:"end_to_end"`

	ServerCPU      float64 `json:"server_cpu_s"`
	ServerCPUPerGB float64 `json:"server_cpu_s_per_gb"` // per GB acknowledged
	ServerCores    float64 `json:"server_cores"`        // CPU seconds per second
	ClientCPUPerGB float64 `json:"client_cpu_s_per_gb"` // of producers and consumers
	PeakRSS        int64   `json:"peak_rss_bytes"`      // since the process started (VmHWM)
	MaxRSS         int64   `json:"max_rss_bytes"`       // of the samples

	// Over the whole run, including the warm-up. Missing and Twice count records that the
	// consumers should have received exactly once.
	TotalAcked int64  `json:"total_acked"`
	Failed     int64  `json:"failed"`
	Unsent     int64  `json:"unsent"` // due by the schedule and never sent
	Missing    int64  `json:"missing"`
	Twice      int64  `json:"twice"`
	FirstError string `json:"first_error,omitempty"`

	Timeline []Sample `json:"timeline"`
}

// Sample is one point of a run.
type Sample struct {
	At           float64 `json:"at_s"` // since the load started
	RecordsPerS  float64 `json:"records_per_s"`
	ConsumedPerS float64 `json:"consumed_per_s"`
	RSS          int64   `json:"rss_bytes"`
}

// Latency is a distribution, in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
	Curve []Point `json:"curve,omitempty"`
}

// Point is one percentile: so many percent took at most this long.
type Point struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

var curve = []float64{1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.95, 99.99, 100}

const msInNS = 1e6

// Summarize merges histograms of nanoseconds.
func Summarize(parts []*hdrhistogram.Histogram) Latency {
	h := NewHistogram()
	for _, p := range parts {
		h.Merge(p)
	}
	l := Latency{Count: h.TotalCount()}
	if l.Count == 0 {
		return l
	}
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / msInNS }
	l.Mean, l.P50, l.P99, l.P999, l.Max = h.Mean()/msInNS, at(50), at(99), at(99.9), float64(h.Max())/msInNS
	for _, q := range curve {
		l.Curve = append(l.Curve, Point{q, at(q)})
	}
	return l
}

// NewHistogram covers 1 µs to 5 minutes within 1 %.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1_000, 300_000_000_000, 2) }
