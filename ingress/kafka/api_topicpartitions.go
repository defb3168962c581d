package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// partitionsAtOnce limits the partitions in a DescribeTopicPartitions response, like Kafka's
// max.request.partition.size.limit.
const partitionsAtOnce = 2000

// describeTopicPartitions serves DescribeTopicPartitions (KIP-966): a page of partitions,
// ordered by topic name, and the cursor of the next page.
func describeTopicPartitions(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DescribeTopicPartitionsRequest)
		resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
		view := d.Lookup.View()
		names, err := pageNames(view, req)
		if err != nil {
			for i := range req.Topics {
				resp.Topics = append(resp.Topics, noPartitions(req.Topics[i].Topic, d.code(err), notAsked))
			}
			return resp
		}
		p := page{view: view, code: d.code, room: partitionRoom(req), strict: len(req.Topics) > 0, resp: resp}
		p.write(names, req.Cursor)
		return resp
	}
}

// partitionRoom returns the maximum number of partitions in the response.
func partitionRoom(req *kmsg.DescribeTopicPartitionsRequest) int {
	return max(1, min(partitionsAtOnce, int(req.ResponsePartitionLimit)))
}

// pageNames returns the sorted topic names from the cursor on.
func pageNames(view *meta.View, req *kmsg.DescribeTopicPartitionsRequest) ([]string, error) {
	from := ""
	if req.Cursor != nil {
		if from = req.Cursor.Topic; req.Cursor.Partition < 0 {
			return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("the cursor has partition %d", req.Cursor.Partition))
		}
	}
	var names []string
	if len(req.Topics) == 0 {
		topics := view.Topics()
		at, _ := slices.BinarySearchFunc(topics, from, func(t *meta.Topic, name string) int { return cmp.Compare(t.Name, name) })
		for _, t := range topics[at:min(len(topics), at+partitionsAtOnce+1)] {
			names = append(names, t.Name)
		}
		return names, nil
	}
	for i := range req.Topics {
		if name := req.Topics[i].Topic; name >= from {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil && !slices.Contains(names, from) {
		return nil, refuse(kerr.InvalidRequest, "the cursor's topic is not one of the requested topics")
	}
	return names, nil
}

// page is one DescribeTopicPartitions response.
type page struct {
	view   *meta.View
	code   Coder
	room   int  // partitions that may still be added
	strict bool // unknown topics get a result
	resp   *kmsg.DescribeTopicPartitionsResponse
}

func (p *page) write(names []string, cursor *kmsg.DescribeTopicPartitionsRequestCursor) {
	for _, name := range names {
		if p.room == 0 {
			p.next(name, 0)
			return
		}
		t, ok := p.view.TopicByName(name)
		if !ok {
			p.unknown(name)
			continue
		}
		from := 0
		if cursor != nil && cursor.Topic == name {
			from = min(int(cursor.Partition), len(t.Partitions))
		}
		to := min(len(t.Partitions), from+p.room)
		p.topic(t, from, to)
		if p.room -= to - from; to < len(t.Partitions) {
			p.next(name, int32(to))
			return
		}
	}
}

func (p *page) next(topic string, partition int32) {
	p.resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: topic, Partition: partition}
}

func (p *page) unknown(name string) {
	if !p.strict {
		return
	}
	err := topic.ValidateName(name)
	if err == nil {
		err = meta.ErrUnknownTopic
	}
	p.resp.Topics = append(p.resp.Topics, noPartitions(name, p.code(err), topicOperations))
}

func noPartitions(name string, code int16, operations int32) kmsg.DescribeTopicPartitionsResponseTopic {
	return kmsg.DescribeTopicPartitionsResponseTopic{ErrorCode: code, Topic: &name, AuthorizedOperations: operations}
}

// topic adds partitions [from, to) of t.
func (p *page) topic(t *meta.Topic, from, to int) {
	alive := metadataWriter{alive: make(map[int32]bool, len(p.view.Brokers))}
	for _, b := range p.view.Brokers {
		alive.alive[b.ID] = true
	}
	parts := make([]kmsg.DescribeTopicPartitionsResponseTopicPartition, 0, to-from)
	for i := from; i < to; i++ {
		m := t.Partitions[i]
		part := kmsg.DescribeTopicPartitionsResponseTopicPartition{Partition: int32(i), LeaderID: m.Leader, LeaderEpoch: m.Epoch,
			Replicas: m.Replicas, ISR: m.ISR, OfflineReplicas: alive.offline(m.Replicas),
			EligibleLeaderReplicas: []int32{}, LastKnownELR: []int32{}}
		if m.Leader < 0 {
			part.ErrorCode = kerr.LeaderNotAvailable.Code
		}
		parts = append(parts, part)
	}
	p.resp.Topics = append(p.resp.Topics, kmsg.DescribeTopicPartitionsResponseTopic{Topic: &t.Name, TopicID: t.ID,
		IsInternal: t.Internal, Partitions: parts, AuthorizedOperations: topicOperations})
}
