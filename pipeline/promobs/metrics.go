package promobs

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/pipeline"
)

// metrics holds the descriptors, each declared once.
type metrics struct {
	queued, queuedBytes, limit        *prometheus.Desc
	in, out, bytesIn                  *prometheus.Desc
	blocked, idle, wait               *prometheus.Desc
	parcels, service, inHand, workers *prometheus.Desc
	emitting                          *prometheus.Desc
}

func newMetrics() metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sluice_pipeline_"+name, help, append([]string{"graph", "stage"}, labels...), nil)
	}
	return metrics{
		queued:      desc("queue_parcels", "Parcels queued before the stage."),
		queuedBytes: desc("queue_bytes", "Bytes queued before the stage."),
		limit:       desc("queue_limit_parcels", "Maximum number of parcels queued before the stage."),
		in:          desc("queue_in_parcels_total", "Parcels added to the stage's queue."),
		out:         desc("queue_out_parcels_total", "Parcels taken from the stage's queue."),
		bytesIn:     desc("queue_in_bytes_total", "Bytes added to the stage's queue."),
		blocked:     desc("queue_blocked_seconds_total", "Time emitters spent waiting for space in the stage's queue."),
		idle:        desc("queue_idle_seconds_total", "Time the stage's workers spent waiting for parcels."),
		wait:        desc("queue_wait_seconds", "Time parcels spent in the queue."),
		parcels: desc("stage_parcels_total",
			"Parcels that left the stage: forwarded, acked or nacked by it.", "outcome"),
		service:  desc("stage_service_seconds", "Time parcels spent in the stage."),
		inHand:   desc("stage_in_hand_parcels", "Parcels the stage holds."),
		workers:  desc("stage_workers", "Goroutines running the stage."),
		emitting: desc("stage_blocked_workers", "Goroutines of the stage that are blocked on a full queue downstream."),
	}
}

func (m *metrics) all() []*prometheus.Desc {
	return []*prometheus.Desc{m.queued, m.queuedBytes, m.limit, m.in, m.out, m.bytesIn, m.blocked, m.idle, m.wait,
		m.parcels, m.service, m.inHand, m.workers, m.emitting}
}

func (m *metrics) edge(ch chan<- prometheus.Metric, graph, stage string, e pipeline.Edge) {
	gauge(ch, m.queued, float64(e.Queued), graph, stage)
	gauge(ch, m.queuedBytes, float64(e.QueuedBytes), graph, stage)
	gauge(ch, m.limit, float64(e.Depth), graph, stage)
	count(ch, m.in, float64(e.In), graph, stage)
	count(ch, m.out, float64(e.Out), graph, stage)
	count(ch, m.bytesIn, float64(e.BytesIn), graph, stage)
	count(ch, m.blocked, e.Blocked.Seconds(), graph, stage)
	count(ch, m.idle, e.Idle.Seconds(), graph, stage)
	histogram(ch, m.wait, e.Wait, graph, stage)
}

func (m *metrics) node(ch chan<- prometheus.Metric, graph string, n pipeline.Node) {
	gauge(ch, m.workers, float64(n.Workers), graph, n.Name)
	gauge(ch, m.emitting, float64(n.Emitting), graph, n.Name)
	if n.Kind == "source" {
		return // a source receives no parcels
	}
	gauge(ch, m.inHand, float64(n.InHand), graph, n.Name)
	count(ch, m.parcels, float64(n.Forwarded), graph, n.Name, "forwarded")
	count(ch, m.parcels, float64(n.Acked), graph, n.Name, "acked")
	count(ch, m.parcels, float64(n.Nacked), graph, n.Name, "nacked")
	histogram(ch, m.service, n.Service, graph, n.Name)
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func histogram(ch chan<- prometheus.Metric, d *prometheus.Desc, h pipeline.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(h.Buckets))
	for _, b := range h.Buckets {
		buckets[b.LE.Seconds()] = b.Count
	}
	ch <- prometheus.MustNewConstHistogram(d, h.Count, h.Sum.Seconds(), buckets, labels...)
}
