package feed

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// serverMetrics are those of a controller.
type serverMetrics struct {
	refused *prometheus.CounterVec
	fenced  prometheus.Counter
	streams prometheus.Gauge
	sent    prometheus.Counter
	whole   prometheus.Counter
}

// Reasons of sluice_feed_refused_total.
const (
	refusedHandshake = "handshake"
	refusedHello     = "hello"
	refusedViolation = "violation"
)

func newServerMetrics(s *Server, reg prometheus.Registerer) *serverMetrics {
	m := &serverMetrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_feed_refused_total",
			Help: "Connections and calls to the metadata feed that were refused, by reason (handshake, hello, violation)."}, []string{"reason"}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feed_fenced_total",
			Help: "Brokers that this controller has fenced because their sessions ended."}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_feed_followers",
			Help: "Streams on which brokers follow this controller's shards."}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feed_sent_bytes_total",
			Help: "Bytes of entries and snapshots sent to brokers."}),
		whole: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feed_snapshots_sent_total",
			Help: "Snapshots of shards sent to brokers that start or are far behind."}),
	}
	for _, r := range []string{refusedHandshake, refusedHello, refusedViolation} {
		m.refused.WithLabelValues(r)
	}
	sessions := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_feed_sessions",
		Help: "Brokers that have a session with this controller."}, func() float64 { return float64(s.sessions.count()) })
	reg.MustRegister(m.refused, m.fenced, m.streams, m.sent, m.whole, sessions)
	return m
}

// clientMetrics are those of a broker.
type clientMetrics struct {
	connects *prometheus.CounterVec
	received prometheus.Counter
	unknown  prometheus.Counter
}

func newClientMetrics(c *Client, reg prometheus.Registerer) *clientMetrics {
	m := &clientMetrics{
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_feed_attempts_total",
			Help: "Attempts to follow a controller, by outcome."}, []string{"outcome"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feed_received_bytes_total",
			Help: "Bytes of entries and snapshots received from controllers."}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feed_unknown_outcomes_total",
			Help: "Proposals sent to a controller whose outcome is not known."}),
	}
	for _, outcome := range []string{"connected", "failed"} {
		m.connects.WithLabelValues(outcome)
	}
	delay := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_feed_delay_seconds",
		Help: "Time since this broker had everything that the controllers it follows had applied; up to half a second is usual."},
		func() float64 { return c.delay(time.Now()).Seconds() })
	sessions := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_feed_controllers",
		Help: "Controllers with which this broker has a session."}, func() float64 { return float64(c.inSession.Load()) })
	reg.MustRegister(m.connects, m.received, m.unknown, delay, sessions)
	return m
}
