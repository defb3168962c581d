package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/topic"
)

// Memory returns the bytes of groups with their members and offsets, and the limit.
func (c *Coordinator) Memory() (used, limit int64) {
	now, _ := c.quota.now()
	return now.bytes, c.cfg.MetadataBytes
}

// FetchBytes returns what the answer to an OffsetFetch request that names partitions takes of
// memory for what is committed there. The same partition may be counted more than once.
func (c *Coordinator) FetchBytes(req *kmsg.OffsetFetchRequest) (n int64) {
	view := c.store.View()
	count := func(group, name string, id topic.ID, partitions []int32) {
		g, ok := c.store.Group(group)
		if !ok {
			return
		}
		if t, unknown := named(view, req.Version, name, id); unknown == 0 {
			for _, index := range partitions {
				if o, ok := g.Offsets[topic.Partition{Topic: t.ID, Index: index}]; ok {
					n += sizeOf(o)
				}
			}
		}
	}
	for i := range req.Topics {
		count(req.Group, req.Topics[i].Topic, topic.ID{}, req.Topics[i].Partitions)
	}
	for i := range req.Groups {
		for j := range req.Groups[i].Topics {
			t := &req.Groups[i].Topics[j]
			count(req.Groups[i].Group, t.Topic, t.TopicID, t.Partitions)
		}
	}
	return n
}
