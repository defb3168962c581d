package machine

import (
	"fmt"
	"testing"

	"github.com/sluicemq/sluice/internal/topic"
)

// BenchmarkFence is the loss of one of three brokers, which are replicas of everything, in all
// of 16 shards, one after the other.
func BenchmarkFence(b *testing.B) {
	for _, partitions := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint("partitions=", partitions), func(b *testing.B) {
			benchmarkFence(b, partitions, func(i int) []int32 { return []int32{int32(i%3) + 1, int32((i+1)%3) + 1, int32((i+2)%3) + 1} })
		})
	}
}

// BenchmarkFenceOfFew is the loss of a broker that is a replica of one in a hundred of 100,000
// partitions.
func BenchmarkFenceOfFew(b *testing.B) {
	benchmarkFence(b, 100_000, func(i int) []int32 { return []int32{int32(i%100) + 1, int32((i+1)%100) + 101} })
}

func benchmarkFence(b *testing.B, partitions int, replicas func(i int) []int32) {
	const shards = 16
	var all [shards]*Shard
	for i := range all {
		all[i] = NewShard()
		for broker := range int32(300) {
			_, _, _ = all[i].Apply(&StartBroker{broker + 1, 1})
			_, _, _ = all[i].Apply(&ReadyBroker{broker + 1, 1, 0})
		}
	}
	for i := range partitions {
		p := topic.Partition{Topic: topicID(fmt.Sprint("t", i/100)), Index: int32(i % 100)}
		_, _, _ = all[ShardOf(p, shards)].Apply(&EnsurePartitions{Topic: p.Topic, Parts: []NewPartition{{p.Index, replicas(i)}}})
	}
	b.ReportAllocs()
	changed := 0
	for n := uint64(1); b.Loop(); n++ {
		changed = 0
		for _, s := range all {
			_, ch, _ := s.Apply(&FenceBroker{1, n, 0})
			changed += len(ch.Partitions)
			b.StopTimer()
			_, _, _ = s.Apply(&StartBroker{1, n + 1})
			_, _, _ = s.Apply(&ReadyBroker{1, n + 1, 0})
			rejoin(s)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(changed), "changed/op")
}

// rejoin puts all replicas into the ISRs again.
func rejoin(s *Shard) {
	for _, parts := range s.topics {
		for _, p := range parts {
			p.ISR, p.ELR, p.Leader = p.Replicas, nil, p.Replicas[0]
		}
	}
}
