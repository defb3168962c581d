// Package promobs exports pipeline metrics to Prometheus.
//
// It costs the pipeline nothing between scrapes: a scrape takes a snapshot of the
// topology, which locks each edge for about a microsecond. The edges of a node
// with lanes are summed, so the number of series grows with stages, not with
// lanes.
package promobs

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/pipeline"
)

// Graph is what is scraped; *pipeline.Graph implements it.
type Graph interface {
	Topology() pipeline.Topology
}

// Collector exports any number of graphs, distinguished by the label graph.
type Collector struct {
	graphs []Graph
	m      metrics
}

// New returns a Collector to register with a prometheus.Registerer. The graphs
// must have distinct names.
func New(graphs ...Graph) *Collector { return &Collector{graphs, newMetrics()} }

// Describe sends the descriptors of all metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.m.all() {
		ch <- d
	}
}

// Collect takes a snapshot of each graph.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, g := range c.graphs {
		t := g.Topology()
		for _, n := range t.Nodes {
			c.m.node(ch, t.Graph, n)
			if e, ok := sum(t.Edges, n.Name); ok {
				c.m.edge(ch, t.Graph, n.Name, e)
			}
		}
	}
}

// sum adds up the edges before a node; a source has none.
func sum(edges []pipeline.Edge, to string) (total pipeline.Edge, ok bool) {
	for _, e := range edges {
		if e.To != to {
			continue
		}
		ok = true
		total.Depth += e.Depth
		total.Queued += e.Queued
		total.QueuedBytes += e.QueuedBytes
		total.In += e.In
		total.Out += e.Out
		total.BytesIn += e.BytesIn
		total.Blocked += e.Blocked
		total.Idle += e.Idle
		total.Wait = add(total.Wait, e.Wait)
	}
	return total, ok
}

func add(a, b pipeline.Histogram) pipeline.Histogram {
	if a.Buckets == nil {
		return b // snapshots are fresh, so b may be added to
	}
	a.Count += b.Count
	a.Sum += b.Sum
	for i := range a.Buckets {
		a.Buckets[i].Count += b.Buckets[i].Count
	}
	return a
}
