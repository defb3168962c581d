package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/certs"
)

var (
	tlsExpiry = prometheus.NewDesc("sluice_tls_certificate_expiry_timestamp_seconds",
		"Expiry of the first certificate to expire in a file in use, including its chain, by use and file.", []string{"use", "file"}, nil)
	tlsRejected = prometheus.NewDesc("sluice_tls_files_rejected",
		"1 while changed TLS files are unusable and their previous contents stay in use.", []string{"use", "file"}, nil)
	tlsReloads = prometheus.NewDesc("sluice_tls_reloads_total",
		"Changes of TLS files, by use and outcome.", []string{"use", "outcome"}, nil)
)

// tlsMetrics exports the state of a server's certificate files.
type tlsMetrics struct{ server *certs.Server }

// Describe implements prometheus.Collector.
func (m tlsMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tlsExpiry, tlsRejected, tlsReloads} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m tlsMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range m.server.Status() {
		rejected := 0.0
		if s.Rejected != nil {
			rejected = 1
		}
		ch <- prometheus.MustNewConstMetric(tlsExpiry, prometheus.GaugeValue, float64(s.Ends.Unix()), s.Use, s.File)
		ch <- prometheus.MustNewConstMetric(tlsRejected, prometheus.GaugeValue, rejected, s.Use, s.File)
		ch <- prometheus.MustNewConstMetric(tlsReloads, prometheus.CounterValue, float64(s.Taken), s.Use, "applied")
		ch <- prometheus.MustNewConstMetric(tlsReloads, prometheus.CounterValue, float64(s.Failed), s.Use, "rejected")
	}
}
