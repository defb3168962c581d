package objectstore

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/histogram"
)

type metrics struct {
	requests, retries, bytes *prometheus.CounterVec
	seconds                  *prometheus.HistogramVec
	throttled, settled       prometheus.Counter
	limit, inFlight          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_objectstore_requests_total",
			Help: "Requests to the object store by operation and outcome: ok, exists, missing, throttled, failed, refused, lost (no answer), cancelled."}, []string{"op", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_objectstore_retries_total",
			Help: "Requests that were sent again after a fault."}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_objectstore_bytes_total",
			Help: "Bytes of bodies, sent and received, those of failed requests too."}, []string{"direction"}),
		seconds: prometheus.NewHistogramVec(histogram.Seconds("sluice_objectstore_request_seconds",
			"From sending a request to the end of the answer, without waiting for a turn.",
			time.Millisecond, 30*time.Second), []string{"op"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_objectstore_throttled_total",
			Help: "Answers that asked for fewer requests (503, 429)."}),
		settled: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_objectstore_settled_total",
			Help: "Puts whose key was taken, by what this broker had itself stored."}),
		limit: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_objectstore_concurrency_limit",
			Help: "Requests that may be in flight; below its configured maximum the store has asked for less."}),
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
	reg.MustRegister(m.requests, m.retries, m.bytes, m.seconds, m.throttled, m.settled, m.limit, m.inFlight)
	return m
}

// outcomes are how a request may end; lost is one without an answer.
var outcomes = [...]string{"ok", "exists", "missing", "throttled", "failed", "refused", "lost", "cancelled"}

// request counts one request that is over.
func (m *metrics) request(o op, outcome string, took time.Duration) {
	m.requests.WithLabelValues(o.String(), outcome).Inc()
	m.seconds.WithLabelValues(o.String()).Observe(took.Seconds())
}
