package kafka

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	connections *prometheus.GaugeVec
	in, out     prometheus.Counter
	panics      prometheus.Counter
	dropped     prometheus.Counter
	slow        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_requests_total",
			Help: "Requests answered, by API."}, []string{"api"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_request_seconds",
			Help:    "Time from the end of a request's header to its answer, by API; long polls include their wait.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2.5, 14)}, []string{"api"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_connections",
			Help: "Kafka connections open, by transport; each QUIC stream is one."}, []string{"transport"}),
		in: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_request_bytes_total",
			Help: "Bytes of request frames read."}),
		out: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_response_bytes_total",
			Help: "Bytes of response frames written."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_handler_panics_total",
			Help: "Requests whose handler panicked. Any is a defect; please report it."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_responses_dropped_total",
			Help: "Answers that nobody was there for any more: the client had gone or was too slow."}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_slow_connections_total",
			Help: "Connections closed since their client sent a request, or took an answer, too slowly."}, []string{"what"}),
	}
	for _, transport := range []string{"quic", "tcp"} {
		m.connections.WithLabelValues(transport)
	}
	for _, what := range []string{"request", "answer"} {
		m.slow.WithLabelValues(what)
	}
	reg.MustRegister(m.requests, m.seconds, m.connections, m.in, m.out, m.panics, m.dropped, m.slow)
	return m
}
