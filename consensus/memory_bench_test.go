package consensus_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/sluicemq/sluice/internal/meta"
)

// BenchmarkMemory reports the heap of a node alone that has 100,000 partitions.
func BenchmarkMemory(b *testing.B) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	c := benched(b)
	empty := heap()
	var g sync.WaitGroup
	for worker := range 10 {
		g.Go(func() {
			for i := range 10 {
				if _, err := c.CreateTopic(b.Context(), meta.TopicSpec{Name: fmt.Sprintf("t%d-%d", worker, i), Partitions: 1000, Replication: 1}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	g.Wait()
	b.ReportMetric(float64(empty-before)/1e6, "MB-empty")
	b.ReportMetric(float64(heap()-empty)/1e6, "MB-100k")
}
