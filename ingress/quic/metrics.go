package quic

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/quicnet"
)

// measure registers what a socket counts.
func measure(s *quicnet.Socket, reg prometheus.Registerer) {
	counter := func(name, help string, of *atomic.Int64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of.Load()) }))
	}
	stats := s.Stats()
	counter("sluice_quic_reads_total", "System calls that brought datagrams of QUIC.", &stats.Reads)
	counter("sluice_quic_coalesced_total", "Messages of the kernel that held several datagrams.", &stats.Coalesced)
	counter("sluice_quic_datagrams_total", "Datagrams received for QUIC.", &stats.Datagrams)
	counter("sluice_quic_dropped_datagrams_total", "Datagrams received that were cut off, or longer than any QUIC packet.", &stats.Dropped)
}
