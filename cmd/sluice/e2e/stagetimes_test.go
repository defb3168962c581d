package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicemq/sluice/pipeline"
)

// look is a snapshot of the durations so far: in stages of the write pipeline, in the queues before
// them, of disk writes and of whole requests.
type look struct {
	names         []string // in the order of the data flow
	wait, service map[string]pipeline.Histogram
}

func (b *broker) look() look {
	b.t.Helper()
	l := look{wait: make(map[string]pipeline.Histogram), service: make(map[string]pipeline.Histogram)}
	t := b.topology()
	for _, n := range t.Nodes {
		l.names = append(l.names, n.Name)
		l.service[n.Name] = n.Service
	}
	for _, e := range t.Edges { // summed over lanes and inputs
		w := l.wait[e.To]
		grow(&w, pipeline.Histogram{}, e.Wait)
		l.wait[e.To] = w
	}
	for name, metric := range map[string]string{"disk write": "sluice_wal_write_seconds", "request": "sluice_request_seconds"} {
		l.service[name] = b.histogram(metric)
	}
	l.names = append(l.names, "disk write", "request")
	return l
}

// topology returns the write pipeline from GET /topology.
func (b *broker) topology() pipeline.Topology {
	b.t.Helper()
	resp, err := http.Get("http://" + b.admin + "/topology")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []pipeline.Topology
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(t pipeline.Topology) bool { return t.Graph == "write" })
	if i < 0 {
		b.t.Fatal("there is no write pipeline")
	}
	return all[i]
}

// histogram reads a histogram metric in seconds, summed over its labels.
func (b *broker) histogram(name string) (h pipeline.Histogram) {
	b.t.Helper()
	resp, err := http.Get("http://" + b.admin + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	counts := make(map[time.Duration]uint64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, le, ok := strings.Cut(rest, `le="`); ok && strings.HasPrefix(rest, "_bucket") {
			bound, _, _ := strings.Cut(le, `"`)
			if seconds, err := strconv.ParseFloat(bound, 64); err == nil && !math.IsInf(seconds, 1) {
				counts[time.Duration(seconds*1e9)] += uint64(value)
			}
		}
		switch {
		case strings.HasPrefix(rest, "_sum"):
			h.Sum += time.Duration(value * 1e9)
		case strings.HasPrefix(rest, "_count"):
			h.Count += uint64(value)
		}
	}
	if err := lines.Err(); err != nil || h.Count == 0 {
		b.t.Fatalf("metric %s: %v, %d in it", name, err, h.Count)
	}
	for _, le := range slices.Sorted(maps.Keys(counts)) {
		h.Buckets = append(h.Buckets, pipeline.Bucket{LE: le, Count: counts[le]})
	}
	return h
}

// stageTimes sums up the differences between looks.
type stageTimes struct {
	names         []string
	wait, service map[string]*pipeline.Histogram
}

func newStageTimes() *stageTimes {
	return &stageTimes{wait: make(map[string]*pipeline.Histogram), service: make(map[string]*pipeline.Histogram)}
}

func (s *stageTimes) add(before, after look) {
	for _, name := range after.names {
		if s.service[name] == nil {
			s.names = append(s.names, name)
			s.service[name], s.wait[name] = &pipeline.Histogram{}, &pipeline.Histogram{}
		}
		grow(s.service[name], before.service[name], after.service[name])
		grow(s.wait[name], before.wait[name], after.wait[name])
	}
}

// grow adds after minus before to h.
func grow(h *pipeline.Histogram, before, after pipeline.Histogram) {
	h.Count += after.Count - before.Count
	h.Sum += after.Sum - before.Sum
	for i, b := range after.Buckets {
		if i == len(h.Buckets) {
			h.Buckets = append(h.Buckets, pipeline.Bucket{LE: b.LE})
		}
		h.Buckets[i].Count += b.Count
		if i < len(before.Buckets) {
			h.Buckets[i].Count -= before.Buckets[i].Count
		}
	}
}

// String returns a table with durations in µs. Buckets are coarse, most of them four times the one
// before, so the quantiles only show where to look.
func (s *stageTimes) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-12s %9s | %8s %8s %8s | %8s %8s %8s\n", "stage", "parcels", "wait", "p50", "p99", "in it", "p50", "p99")
	for _, name := range s.names {
		w, in := s.wait[name], s.service[name]
		fmt.Fprintf(&out, "%-12s %9d | %8.0f %8.0f %8.0f | %8.0f %8.0f %8.0f\n", name, in.Count,
			mean(w), bucketQuantile(w, .5), bucketQuantile(w, .99), mean(in), bucketQuantile(in, .5), bucketQuantile(in, .99))
	}
	return out.String()
}

// mean returns the mean of h in µs.
func mean(h *pipeline.Histogram) float64 {
	return float64(h.Sum) / float64(max(1, h.Count)) / float64(time.Microsecond)
}

// bucketQuantile returns a quantile of h in µs, interpolated linearly within a bucket: 0 if h is empty,
// infinity if the quantile is above all buckets.
func bucketQuantile(h *pipeline.Histogram, q float64) float64 {
	rank := q * float64(h.Count)
	var from pipeline.Bucket
	for _, to := range h.Buckets {
		if n := float64(to.Count - from.Count); n > 0 && float64(to.Count) >= rank {
			at := float64(from.LE) + float64(to.LE-from.LE)*(rank-float64(from.Count))/n
			return at / float64(time.Microsecond)
		}
		from = to
	}
	if h.Count == 0 {
		return 0
	}
	return math.Inf(1)
}
