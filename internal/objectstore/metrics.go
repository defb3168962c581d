package objectstore

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
)

type metrics struct {
	requests, retries, bytes *prometheus.CounterVec
	seconds                  *prometheus.HistogramVec
	throttled, resolved      prometheus.Counter
	limit, inFlight          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_objectstore_requests_total",
			Help: "Requests to the object store by operation and outcome: ok, exists, missing, throttled, failed, refused, lost (no response), cancelled."}, []string{"op", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_objectstore_retries_total",
			Help: "Requests retried after a fault."}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_objectstore_bytes_total",
			Help: "Bytes of bodies sent and received, including failed requests."}, []string{"direction"}),
		seconds: prometheus.NewHistogramVec(histogram.Seconds("sluice_objectstore_request_seconds",
			"Time from sending a request to the end of the response, without waiting for a permit.",
			time.Millisecond, 30*time.Second), []string{"op"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_objectstore_throttled_total",
			Help: "Responses that asked for fewer requests (503, 429)."}),
		resolved: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_objectstore_resolved_total",
			Help: "Puts with an unknown outcome that turned out to have succeeded."}),
		limit: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_objectstore_concurrency_limit",
			Help: "Limit of requests in flight; below the configured maximum if the store has asked for fewer."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_objectstore_requests_in_flight",
			Help: "Requests in flight."}),
	}
	for o := range ops {
		m.retries.WithLabelValues(o.String())
		m.seconds.WithLabelValues(o.String())
		for _, outcome := range outcomes {
			m.requests.WithLabelValues(o.String(), outcome)
		}
	}
	for _, direction := range []string{"sent", "received"} {
		m.bytes.WithLabelValues(direction)
	}
	reg.MustRegister(m.requests, m.retries, m.bytes, m.seconds, m.throttled, m.resolved, m.limit, m.inFlight)
	return m
}

// outcomes are how a request may end; lost means without a response.
var outcomes = [...]string{"ok", "exists", "missing", "throttled", "failed", "refused", "lost", "cancelled"}

// request counts one finished request.
func (m *metrics) request(o op, outcome string, took time.Duration) {
	m.requests.WithLabelValues(o.String(), outcome).Inc()
	m.seconds.WithLabelValues(o.String()).Observe(took.Seconds())
}
