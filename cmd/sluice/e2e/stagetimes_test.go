package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/sluicemq/sluice/pipeline"
)

// topology returns the write pipeline as the broker shows it.
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
	for _, t := range all {
		if t.Graph == "write" {
			return t
		}
	}
	b.t.Fatal("there is no write pipeline")
	return pipeline.Topology{}
}

// stageTimes sums up how long parcels waited for each stage and were in it.
type stageTimes struct {
	names         []string // as the data flows
	wait, service map[string]*pipeline.Histogram
}

func newStageTimes() *stageTimes {
	return &stageTimes{wait: make(map[string]*pipeline.Histogram), service: make(map[string]*pipeline.Histogram)}
}

// add adds what happened between two looks at a pipeline.
func (s *stageTimes) add(before, after pipeline.Topology) {
	for i, n := range after.Nodes {
		if s.service[n.Name] == nil {
			s.names = append(s.names, n.Name)
			s.service[n.Name], s.wait[n.Name] = &pipeline.Histogram{}, &pipeline.Histogram{}
		}
		grow(s.service[n.Name], before.Nodes[i].Service, n.Service)
	}
	for i, e := range after.Edges {
		grow(s.wait[e.To], before.Edges[i].Wait, e.Wait)
	}
}

// grow adds after less before to h.
func grow(h *pipeline.Histogram, before, after pipeline.Histogram) {
	if h.Buckets == nil {
		h.Buckets = make([]pipeline.Bucket, len(after.Buckets))
	}
	h.Count += after.Count - before.Count
	h.Sum += after.Sum - before.Sum
	for i := range h.Buckets {
		h.Buckets[i].LE = after.Buckets[i].LE
		h.Buckets[i].Count += after.Buckets[i].Count - before.Buckets[i].Count
	}
}

// String is a table. Buckets are coarse, each four times the one before, so that
// quantiles are good for the place to look and not for more.
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

// mean is in µs, as what bucketQuantile returns.
func mean(h *pipeline.Histogram) float64 {
	return float64(h.Sum) / float64(max(1, h.Count)) / float64(time.Microsecond)
}

// bucketQuantile goes through a bucket geometrically.
func bucketQuantile(h *pipeline.Histogram, q float64) float64 {
	rank, below := q*float64(h.Count), 0.0
	for _, b := range h.Buckets {
		if n := float64(b.Count); n >= rank && n > below {
			return float64(b.LE) / 4 * math.Pow(4, (rank-below)/(n-below)) / float64(time.Microsecond)
		}
		below = float64(b.Count)
	}
	return math.Inf(1)
}
