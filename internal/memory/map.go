package memory

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Line is a use of memory in a process. Used and Limit may be called at any time
// from any goroutine.
type Line struct {
	Use
	Used, Limit func() int64
}

// Of returns a line whose bytes are charged to a.
func Of(u Use, a *Account) Line { return Line{Use: u, Used: a.Used, Limit: a.Limit} }

// Map holds all lines of a process. The zero value is empty.
type Map struct {
	mu    sync.Mutex
	lines []Line
}

// Add adds lines. A duplicate name is a bug and panics.
func (m *Map) Add(lines ...Line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines {
		for _, have := range m.lines {
			if have.Name == l.Name {
				panic(fmt.Sprintf("memory: duplicate line %q", l.Name))
			}
		}
		m.lines = append(m.lines, l)
	}
}

// Lines returns the lines in the order in which they were added.
func (m *Map) Lines() []Line {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Line(nil), m.lines...)
}

// Heap returns the sum of the limits of heap memory.
func (m *Map) Heap() (limit int64) {
	for _, l := range m.Lines() {
		if !l.Mapped {
			limit += l.Limit()
		}
	}
	return limit
}

// Fit checks that the limits of all lines and Rest are within limit, the
// process's limit; 0 means no limit.
func (m *Map) Fit(limit int64) error { return Fit(m.Sum(), limit) }

// Sum returns the sum of all limits.
func (m *Map) Sum() (limit int64) {
	for _, l := range m.Lines() {
		limit += l.Limit()
	}
	return limit
}

// Fit is [Map.Fit] for limits that add up to sum.
func Fit(sum, limit int64) error {
	if limit > 0 && sum+Rest > limit {
		return fmt.Errorf("memory.limit_bytes (%d) is less than the limits of everything together, %d, and %d for the process itself; lower some of them (`sluice cluster memory` and docs/operations.md show which there are), or raise it to %d",
			limit, sum, int64(Rest), sum+Rest)
	}
	return nil
}

var (
	usedDesc  = prometheus.NewDesc("sluice_memory_bytes", "Bytes in use, by use.", []string{"use"}, nil)
	limitDesc = prometheus.NewDesc("sluice_memory_limit_bytes", "Limit in bytes, by use.", []string{"use"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Map) Describe(out chan<- *prometheus.Desc) { out <- usedDesc; out <- limitDesc }

// Collect implements prometheus.Collector.
func (m *Map) Collect(out chan<- prometheus.Metric) {
	for _, l := range m.Lines() {
		out <- prometheus.MustNewConstMetric(usedDesc, prometheus.GaugeValue, float64(l.Used()), l.Name)
		out <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(l.Limit()), l.Name)
	}
}
