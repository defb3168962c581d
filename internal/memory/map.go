package memory

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Line is one use of memory.
type Line struct {
	// Name is the label of its metrics, such as tail_index.
	Name string
	// Holds says in a few words what the bytes are.
	Holds string
	// Setting is the key that sets the limit, empty where none does.
	Setting string
	// Mapped: the bytes are mapped apart and are not on the heap.
	Mapped bool
	// Used and Limit are asked at any time, by any goroutine.
	Used, Limit func() int64
}

// Of returns a line whose bytes are charged to a.
func Of(name, holds, setting string, a *Account) Line {
	return Line{Name: name, Holds: holds, Setting: setting, Used: a.Used, Limit: a.Limit}
}

// Map is all lines of a process. The zero value has none.
type Map struct {
	mu    sync.Mutex
	lines []Line
}

// Add takes in a line. A name that is there already is a defect, and panics.
func (m *Map) Add(lines ...Line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines {
		for _, have := range m.lines {
			if have.Name == l.Name {
				panic(fmt.Sprintf("memory: two lines %q", l.Name))
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

// Limits returns the sums of the limits on the heap and of those mapped apart.
func (m *Map) Limits() (heap, mapped int64) {
	for _, l := range m.Lines() {
		if l.Mapped {
			mapped += l.Limit()
		} else {
			heap += l.Limit()
		}
	}
	return heap, mapped
}

var (
	usedDesc  = prometheus.NewDesc("sluice_memory_bytes", "Bytes in use, by what they are charged to.", []string{"use"}, nil)
	limitDesc = prometheus.NewDesc("sluice_memory_limit_bytes", "Bytes that there may be, by what they are charged to.", []string{"use"}, nil)
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
