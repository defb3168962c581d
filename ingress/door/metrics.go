package door

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what is counted of one door.
type Metrics struct {
	// Open is the number of connections, in handshake or done with it. A QUIC
	// connection is one, however many streams it has.
	Open prometheus.Gauge
	// Accepted counts connections whose handshake succeeded.
	Accepted prometheus.Counter

	refused map[string]prometheus.Counter
}

// Reasons to refuse a connection.
const (
	full      = "full"
	fullForIP = "full_for_address"
	noMemory  = "memory"
	handshake = "handshake"
)

// NewMetrics returns the metrics of the door of a transport, registered.
func NewMetrics(transport string, reg prometheus.Registerer) *Metrics {
	labels := prometheus.Labels{"transport": transport}
	m := &Metrics{refused: make(map[string]prometheus.Counter),
		Open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_door_connections", ConstLabels: labels,
			Help: "Network connections open, by transport."}),
		Accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_door_accepted_total", ConstLabels: labels,
			Help: "Network connections let in after their handshake, by transport."})}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_door_refused_total", ConstLabels: labels,
		Help: "Network connections refused, by transport and reason."}, []string{"reason"})
	for _, r := range []string{full, fullForIP, noMemory, handshake} {
		m.refused[r] = refused.WithLabelValues(r)
	}
	reg.MustRegister(m.Open, m.Accepted, refused)
	return m
}

// Refused counts a connection that was refused for err: one of Enter's errors, or
// that of a handshake.
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
