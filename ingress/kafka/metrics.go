package kafka

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
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
		seconds: prometheus.NewHistogramVec(histogram.Seconds("sluice_request_seconds",
			"Time from the end of a request's header to its response, by API, including the wait of long polls.",
			100*time.Microsecond, 30*time.Second), []string{"api"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_connections",
			Help: "Open Kafka connections, by transport; each QUIC stream counts as one."}, []string{"transport"}),
		in: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_request_bytes_total",
			Help: "Bytes of request frames read."}),
		out: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_response_bytes_total",
			Help: "Bytes of response frames written."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_handler_panics_total",
			Help: "Requests whose handler panicked. Each is a bug; please report it."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_responses_dropped_total",
			Help: "Responses dropped because the client had disconnected or was too slow."}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_slow_connections_total",
			Help: "Connections closed because the client sent a request or read a response too slowly."}, []string{"what"}),
	}
	for _, transport := range []string{"quic", "tcp"} {
		m.connections.WithLabelValues(transport)
	}
	for _, what := range []string{"request", "response"} {
		m.slow.WithLabelValues(what)
	}
	reg.MustRegister(m.requests, m.seconds, m.connections, m.in, m.out, m.panics, m.dropped, m.slow)
	return m
}
