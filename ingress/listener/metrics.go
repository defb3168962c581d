package listener

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the connection metrics of one listener.
type Metrics struct {
	// Open is the number of connections, including those in handshake. A QUIC connection counts
	// once, however many streams it has.
	Open prometheus.Gauge
	// Accepted counts connections whose handshake succeeded.
	Accepted prometheus.Counter

	refused map[string]prometheus.Counter
}

// Reasons for refusing a connection.
const (
	full      = "full"
	fullForIP = "full_for_address"
	noMemory  = "memory"
	handshake = "handshake"
)

// NewMetrics registers and returns the metrics of the listener of a transport.
func NewMetrics(transport string, reg prometheus.Registerer) *Metrics {
	labels := prometheus.Labels{"transport": transport}
	m := &Metrics{refused: make(map[string]prometheus.Counter),
		Open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_listener_connections", ConstLabels: labels,
			Help: "Open network connections, by transport."}),
		Accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_listener_accepted_total", ConstLabels: labels,
			Help: "Network connections accepted after their handshake, by transport."})}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_listener_refused_total", ConstLabels: labels,
		Help: "Network connections refused, by transport and reason."}, []string{"reason"})
	for _, r := range []string{full, fullForIP, noMemory, handshake} {
		m.refused[r] = refused.WithLabelValues(r)
	}
	reg.MustRegister(m.Open, m.Accepted, refused)
	return m
}

// Refused counts a connection refused because of err: one of Enter's errors, or a handshake
// error.
func (m *Metrics) Refused(err error) {
	switch {
	case errors.Is(err, ErrFull):
		m.refused[full].Inc()
	case errors.Is(err, ErrFullForIP):
		m.refused[fullForIP].Inc()
	case errors.Is(err, ErrNoMemory):
		m.refused[noMemory].Inc()
	default:
		m.refused[handshake].Inc()
	}
}
