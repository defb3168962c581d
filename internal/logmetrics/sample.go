package logmetrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// sample is a series at one time. The series of a partition share their labels.
type sample struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	value   float64
	counter bool
}

// labels returns label pairs. The names must be in ascending order.
func labels(namesAndValues ...string) []*dto.LabelPair {
	pairs := make([]dto.LabelPair, len(namesAndValues)/2)
	out := make([]*dto.LabelPair, len(pairs))
	for i := range pairs {
		pairs[i].Name, pairs[i].Value = &namesAndValues[2*i], &namesAndValues[2*i+1]
		out[i] = &pairs[i]
	}
	return out
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *sample) Write(m *dto.Metric) error {
	m.Label = s.labels
	if s.counter {
		m.Counter = &dto.Counter{Value: &s.value}
	} else {
		m.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}
