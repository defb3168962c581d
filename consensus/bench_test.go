package consensus_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// BenchmarkChange measures group changes by a number of concurrent callers, from proposal to
// apply.
func BenchmarkChange(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c, err := consensus.Open(b.Context(), consensus.DefaultConfig(b.TempDir()), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					b.Error(err)
				}
			}()
			at := topic.Partition{Topic: topic.NewID()}
			var n atomic.Int64
			b.SetParallelism((callers + 1) / 2) // times GOMAXPROCS
			change := func() {
				i := n.Add(1)
				err := c.ChangeGroup(b.Context(), fmt.Sprintf("g%d", i%100), meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{at: {Offset: i}}})
				if err != nil {
					b.Error(err)
				}
			}
			b.ResetTimer()
			if callers == 1 {
				for range b.N {
					change()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						change()
					}
				})
			}
			b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "changes/s")
		})
	}
}
