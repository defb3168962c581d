package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Memory per element of a response, both decoded and encoded: kmsg structs and what they point
// to, as measured by TestAnswersAreNotLargerThanEstimated.
const (
	topicAnswer     = 320
	topicHeld       = 64 // of a topic until its row is made
	partitionAnswer = 240
	// partitionEncoded is a partition of Metadata in its encoded form, with three replicas.
	partitionEncoded = 64
	createdAnswer    = 128 // of a config of a topic that was created
	producerAnswer   = 120
)

// rowsOf estimates the part of a response that describes one topic.
func rowsOf(t *meta.Topic) int64 { return topicAnswer + partitionAnswer*int64(len(t.Partitions)) }

// metadataBytes estimates what the answer to a Metadata request takes: what its rows are made of
// while it is written, and the largest of them.
func (h *Handlers) metadataBytes(r kmsg.Request) int64 {
	req, view := r.(*kmsg.MetadataRequest), h.deps.Lookup.View()
	if allTopics(req) {
		topics, partitions := view.TopicCount()
		return metadataHeld(topics, partitions)
	}
	partitions := 0
	for i := range req.Topics {
		asked := &req.Topics[i]
		var t *meta.Topic
		var ok bool
		if asked.Topic != nil {
			t, ok = view.TopicByName(*asked.Topic)
		} else {
			t, ok = view.TopicByID(asked.TopicID)
		}
		if ok {
			partitions = max(partitions, len(t.Partitions))
		}
	}
	return metadataHeld(len(req.Topics), partitions)
}

// metadataHeld is what is held for an answer with so many topics, and with so many partitions in
// the largest row.
func metadataHeld(topics, partitions int) int64 {
	return topicHeld*int64(topics) + partitionEncoded*int64(partitions)
}

// configsBytes estimates what the answer to a DescribeConfigs request takes: it is made while it is
// written, a row at a time.
func configsBytes(r kmsg.Request) int64 {
	return configsHeld * int64(len(r.(*kmsg.DescribeConfigsRequest).Resources))
}

// createdBytes estimates the answer to a CreateTopics request, which has all configs of each topic
// from version 5 on.
func createdBytes(r kmsg.Request) int64 {
	one := int64(topicAnswer)
	if r.GetVersion() >= 5 {
		one += createdAnswer * int64(len(topic.Configs()))
	}
	return one * int64(len(r.(*kmsg.CreateTopicsRequest).Topics))
}

// groupBytes estimates the response to a request that may cover all groups, or everything of
// one group, by the memory of all groups.
func (h *Handlers) groupBytes(r kmsg.Request) int64 {
	if h.deps.GroupMemory == nil {
		return 0
	}
	used, _ := h.deps.GroupMemory()
	if req, ok := r.(*kmsg.OffsetFetchRequest); ok && !allOffsets(req) {
		return min(used, h.deps.OffsetBytes(req))
	}
	return used
}

// allOffsets reports whether a request asks for all offsets of some group.
func allOffsets(req *kmsg.OffsetFetchRequest) bool {
	if req.Version < 8 {
		return req.Topics == nil
	}
	for i := range req.Groups {
		if req.Groups[i].Topics == nil {
			return true
		}
	}
	return false
}

// logDirsBytes estimates the response to a DescribeLogDirs request.
func (h *Handlers) logDirsBytes(r kmsg.Request) (total int64) {
	req := r.(*kmsg.DescribeLogDirsRequest)
	if req.Topics == nil {
		for _, t := range h.deps.Lookup.View().Topics() {
			total += rowsOf(t)
		}
		return total
	}
	for i := range req.Topics {
		total += topicAnswer + partitionAnswer*int64(len(req.Topics[i].Partitions))
	}
	return total
}

// electionBytes estimates the response to an ElectLeaders request.
func (h *Handlers) electionBytes(r kmsg.Request) (total int64) {
	req := r.(*kmsg.ElectLeadersRequest)
	for i := range req.Topics {
		total += topicAnswer + partitionAnswer*int64(len(req.Topics[i].Partitions))
	}
	if req.Topics != nil {
		return total
	}
	for _, t := range h.deps.Lookup.View().Topics() {
		total += topicAnswer
		for i := range t.Partitions {
			if elected(req.ElectionType, t, int32(i)) != errNoElection {
				total += partitionAnswer
			}
		}
	}
	return total
}

// resourcesBytes estimates the response to a ListConfigResources request.
func (h *Handlers) resourcesBytes(r kmsg.Request) int64 {
	if r.GetVersion() == 0 {
		return 0
	}
	return topicAnswer * int64(len(h.deps.Lookup.View().Topics()))
}

// topicPartitionsBytes estimates the response to a DescribeTopicPartitions request.
func (h *Handlers) topicPartitionsBytes(r kmsg.Request) int64 {
	req := r.(*kmsg.DescribeTopicPartitionsRequest)
	room := int64(partitionRoom(req))
	if len(req.Topics) == 0 {
		return room * (topicAnswer + partitionAnswer)
	}
	view, parts := h.deps.Lookup.View(), int64(0)
	for i := range req.Topics {
		if t, ok := view.TopicByName(req.Topics[i].Topic); ok {
			parts += int64(len(t.Partitions))
		}
	}
	return topicAnswer*int64(len(req.Topics)) + partitionAnswer*min(room, parts)
}

// producersBytes estimates the response to a DescribeProducers request.
func (h *Handlers) producersBytes(r kmsg.Request) (total int64) {
	req, view := r.(*kmsg.DescribeProducersRequest), h.deps.Lookup.View()
	for _, asked := range producersAsked(req) {
		total += topicAnswer + partitionAnswer*int64(len(asked.partitions))
		t, ok := view.TopicByName(asked.name)
		for _, p := range asked.partitions {
			if ok {
				total += producerAnswer * int64(h.deps.Producers.ProducerCount(topic.Partition{Topic: t.ID, Index: *p.asked}))
			}
		}
	}
	return total
}
