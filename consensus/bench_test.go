package consensus_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

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

// BenchmarkTopicCreation creates topics of 12 partitions, one after another.
func BenchmarkTopicCreation(b *testing.B) {
	c := benched(b)
	b.ResetTimer()
	for i := range b.N {
		if _, err := c.CreateTopic(b.Context(), meta.TopicSpec{Name: fmt.Sprint("t", i), Partitions: 12, Replication: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUploadCommit announces and commits objects of one partition, one after another.
func BenchmarkUploadCommit(b *testing.B) {
	c := benched(b)
	t, err := c.CreateTopic(b.Context(), meta.TopicSpec{Name: "t", Partitions: 1, Replication: 1})
	if err != nil {
		b.Fatal(err)
	}
	at := topic.Partition{Topic: t.ID}
	b.ResetTimer()
	for i := range int64(b.N) {
		id := meta.NewObjectID()
		if err := c.PrepareObject(b.Context(), id, []topic.Partition{at}, time.Hour); err != nil {
			b.Fatal(err)
		}
		r, err := c.CommitObject(b.Context(), id, []meta.CommitPart{{Partition: at, Epoch: t.Partitions[0].Epoch, Ref: meta.ObjectRef{ID: id, Base: i, End: i + 1, Bytes: 100},
			Epochs: []meta.EpochStart{{Epoch: t.Partitions[0].Epoch}}}})
		if err != nil || r[0].Err != nil {
			b.Fatal(err, r)
		}
	}
}

// benched is a cluster with one broker and the default settings.
func benched(b *testing.B) *consensus.Cluster {
	b.Helper()
	c, err := consensus.Open(b.Context(), consensus.DefaultConfig(b.TempDir()), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := c.RegisterBroker(b.Context(), me); err != nil {
		b.Fatal(err)
	}
	return c
}
