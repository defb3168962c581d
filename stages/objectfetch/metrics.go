package objectfetch

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests, bytes         prometheus.Counter
	shared                  prometheus.Counter
	aheadBytes, aheadWasted prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	return metrics{
		requests:    counter("sluice_object_requests_total", "Range requests to the object store."),
		bytes:       counter("sluice_object_read_bytes_total", "Bytes of blocks read from the object store."),
		shared:      counter("sluice_object_shared_requests_total", "Reads that waited for another reader's request for the same blocks."),
		aheadBytes:  counter("sluice_read_ahead_bytes_total", "Bytes of blocks read ahead."),
		aheadWasted: counter("sluice_read_ahead_wasted_bytes_total", "Bytes of blocks read ahead that nobody read."),
	}
}

// Memory returns what is charged to Config.RequestBytes, and that limit.
func (f *Fetcher) Memory() (used, limit int64) {
	f.requests.mu.Lock()
	defer f.requests.mu.Unlock()
	return f.memory.InUse() + f.requests.results.bytes + f.requests.footers.bytes, f.cfg.RequestBytes
}
