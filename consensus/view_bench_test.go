package consensus

import (
	"fmt"
	"testing"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// BenchmarkChangeOfAPartition measures a change of one partition, from the command's effects to the
// next View, with 100,000 partitions in the metadata.
func BenchmarkChangeOfAPartition(b *testing.B) {
	for _, topics := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			p := newProjection(16, nil)
			ids := fill(p, topics, 100_000/topics)
			p.started()
			p.publish()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				id := topic.Partition{Topic: ids[i%topics], Index: int32(i % (100_000 / topics))}
				p.shard(1, machine.Changes{Partitions: []machine.PartitionChange{{ID: id, Now: &meta.Partition{Leader: 1, Epoch: int32(i)}}}})
				p.publish()
			}
		})
	}
}

// fill adds topics to p, with the given number of partitions each, and returns their ids.
func fill(p *projection, topics, partitions int) (ids []topic.ID) {
	for i := range topics {
		t := &machine.Topic{Name: fmt.Sprint("t", i), ID: topic.NewID(), Replication: 1, Count: int32(partitions), Target: int32(partitions)}
		ids = append(ids, t.ID)
		p.root(machine.RootChanges{Topics: []machine.TopicChange{{ID: t.ID, Now: t}}})
		var all machine.Changes
		for index := range int32(partitions) {
			all.Partitions = append(all.Partitions, machine.PartitionChange{ID: topic.Partition{Topic: t.ID, Index: index}, Now: &meta.Partition{Leader: 1}})
		}
		p.shard(1, all)
	}
	return ids
}
