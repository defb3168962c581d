package group

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// fetch serves OffsetFetch 1-10 from the store. All offsets there are durable, and without
// transactions all are stable, so RequireStable changes nothing. Without a committed offset the
// result is -1 and no error, unless the topic id is unknown.
func (c *Coordinator) fetch(version int16, req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetFetchResponse()
	view := c.store.View()
	if version >= 8 {
		seen := make(map[string]struct{}, len(req.Groups))
		for _, g := range req.Groups {
			if _, twice := seen[g.Group]; twice {
				continue // a small request must not get an endless response
			}
			seen[g.Group] = struct{}{}
			resp.Groups = append(resp.Groups, c.fetchGroup(view, version, g))
		}
		return resp
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil {
		g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
		for i, t := range req.Topics {
			g.Topics[i].Topic, g.Topics[i].Partitions = t.Topic, t.Partitions
		}
	}
	fetched := c.fetchGroup(view, version, g)
	resp.ErrorCode = fetched.ErrorCode
	for _, t := range fetched.Topics {
		resp.Topics = append(resp.Topics, oldTopic(t))
	}
	return resp
}

func oldTopic(t kmsg.OffsetFetchResponseGroupTopic) kmsg.OffsetFetchResponseTopic {
	old := kmsg.NewOffsetFetchResponseTopic()
	old.Topic = t.Topic
	for _, p := range t.Partitions {
		o := kmsg.NewOffsetFetchResponseTopicPartition()
		o.Partition, o.Offset, o.LeaderEpoch, o.Metadata, o.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
		old.Partitions = append(old.Partitions, o)
	}
	return old
}

// fetchGroup answers for one group: for the requested topics, or for all its offsets if Topics
// is nil.
func (c *Coordinator) fetchGroup(view *meta.View, version int16, req kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	if len(req.Group) > maxName {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return resp
	}
	if c.store.GroupOffline(req.Group) != nil {
		return notFetched(req, kerr.CoordinatorNotAvailable.Code)
	}
	var kept offsets
	if g, ok := c.store.Group(req.Group); ok {
		kept = g.Offsets
	}
	if req.Topics == nil {
		resp.Topics = allTopics(view, kept)
		return resp
	}
	seen := make(map[int32]struct{})
	for asked, partitions := range merged(req.Topics) {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = asked.name, asked.id
		known, unknown := named(view, version, asked.name, asked.id)
		clear(seen)
		for _, index := range partitions {
			if _, twice := seen[index]; twice {
				continue
			}
			seen[index] = struct{}{}
			o, committed := meta.CommittedOffset{}, false
			if unknown == 0 {
				o, committed = kept[topic.Partition{Topic: known.ID, Index: index}]
			}
			p := fetched(index, o, committed)
			if version >= idsFrom { // an unknown name simply has no offsets
				p.ErrorCode = unknown
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// notFetched answers with an error, also for each partition: version 1 has no other place for
// it, and a missing partition would look like one without an offset.
func notFetched(req kmsg.OffsetFetchRequestGroup, code int16) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group, resp.ErrorCode = req.Group, code
	for asked, partitions := range merged(req.Topics) {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = asked.name, asked.id
		for _, index := range distinctIndexes(partitions) {
			p := fetched(index, meta.CommittedOffset{}, false)
			p.ErrorCode = code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func distinctIndexes(indexes []int32) []int32 {
	indexes = slices.Clone(indexes)
	slices.Sort(indexes)
	return slices.Compact(indexes)
}

// fetchedTopic identifies a topic in OffsetFetch: by name, or since version 10 by id.
type fetchedTopic struct {
	name string
	id   topic.ID
}

// merged yields each topic once, in order of first occurrence.
func merged(topics []kmsg.OffsetFetchRequestGroupTopic) func(yield func(fetchedTopic, []int32) bool) {
	at := make(map[fetchedTopic]int, len(topics))
	var asked []fetchedTopic
	var partitions [][]int32
	for _, t := range topics {
		key := fetchedTopic{t.Topic, t.TopicID}
		i, ok := at[key]
		if !ok {
			at[key] = len(asked)
			asked, partitions = append(asked, key), append(partitions, t.Partitions)
			continue
		}
		partitions[i] = slices.Concat(partitions[i], t.Partitions)
	}
	return func(yield func(fetchedTopic, []int32) bool) {
		for i, key := range asked {
			if !yield(key, partitions[i]) {
				return
			}
		}
	}
}

func fetched(index int32, o meta.CommittedOffset, committed bool) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = index, -1, -1, new(string)
	if committed {
		p.Offset, p.LeaderEpoch, p.Metadata = o.Offset, o.LeaderEpoch, &o.Metadata
	}
	return p
}

// allTopics returns all offsets of existing topics, in order.
func allTopics(view *meta.View, kept offsets) []kmsg.OffsetFetchResponseGroupTopic {
	byID := make(map[topic.ID]*kmsg.OffsetFetchResponseGroupTopic)
	for p, o := range kept {
		t, ok := byID[p.Topic]
		if !ok {
			known, exists := view.TopicByID(p.Topic)
			if !exists {
				continue
			}
			fresh := kmsg.NewOffsetFetchResponseGroupTopic()
			t = &fresh
			t.Topic, t.TopicID = known.Name, known.ID
			byID[p.Topic] = t
		}
		t.Partitions = append(t.Partitions, fetched(p.Index, o, true))
	}
	all := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(byID))
	for _, t := range byID {
		slices.SortFunc(t.Partitions, func(a, b kmsg.OffsetFetchResponseGroupTopicPartition) int {
			return cmp.Compare(a.Partition, b.Partition)
		})
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b kmsg.OffsetFetchResponseGroupTopic) int { return cmp.Compare(a.Topic, b.Topic) })
	return all
}
