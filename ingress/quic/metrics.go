package quic

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/quicnet"
)

// measure registers the metrics of a socket.
func measure(s *quicnet.Socket, reg prometheus.Registerer) {
	counter := func(name, help string, of *atomic.Int64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of.Load()) }))
	}
	stats := s.Stats()
	counter("sluice_quic_reads_total", "System calls that returned QUIC datagrams.", &stats.Reads)
	counter("sluice_quic_coalesced_total", "Received messages that held several datagrams (UDP GRO).", &stats.Coalesced)
	counter("sluice_quic_datagrams_total", "QUIC datagrams received.", &stats.Datagrams)
	counter("sluice_quic_dropped_datagrams_total", "Received datagrams that were truncated, or longer than any QUIC packet.", &stats.Dropped)
}
