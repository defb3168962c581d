package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// deletion is the deletion requested for one partition.
type deletion struct {
	asked *kmsg.DeleteRecordsRequestTopicPartition
	out   *kmsg.DeleteRecordsResponseTopicPartition
	state *partition.State
	err   error
}

// deleteRecords serves DeleteRecords (KIP-107), which advances log start offsets. As in Kafka,
// the last entry of a duplicate partition counts.
func deleteRecords(d *Deps) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DeleteRecordsRequest)
		resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
		topics := distinct(req.Topics,
			func(t *kmsg.DeleteRecordsRequestTopic) (string, []kmsg.DeleteRecordsRequestTopicPartition) {
				return t.Topic, t.Partitions
			},
			func(p *kmsg.DeleteRecordsRequestTopicPartition) int32 { return p.Partition })
		resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(topics))
		var all []deletion
		view := d.Lookup.View()
		for i, t := range topics {
			out := &resp.Topics[i]
			out.Topic = t.name
			out.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.partitions))
			found, err := lookup.ByName(view, t.name)
			for j, p := range t.partitions {
				del := deletion{asked: p.asked, out: &out.Partitions[j], err: err}
				if err == nil {
					del.find(d.Lookup, found)
				}
				all = append(all, del)
			}
		}
		each(len(all), func(i int) { all[i].do(ctx, d) })
		return resp
	}
}

func (x *deletion) find(l *lookup.Lookup, t *meta.Topic) {
	v := topic.Values(t.Configs)
	if v.Has(topic.CleanupPolicy, topic.CleanupCompact) && !v.Has(topic.CleanupPolicy, topic.CleanupDelete) {
		x.err = refuse(kerr.PolicyViolation, "the topic is only compacted; add delete to its cleanup.policy first")
		return
	}
	x.state, x.err = l.Partition(t, x.asked.Partition)
}

func (x *deletion) do(ctx context.Context, d *Deps) {
	x.out.Partition, x.out.LowWatermark = x.asked.Partition, -1
	if x.err == nil {
		x.err = x.move(ctx, d.Topics)
	}
	if x.err != nil {
		x.out.ErrorCode = d.code(x.err)
		return
	}
	x.out.LowWatermark = x.state.LogStart()
}

func (x *deletion) move(ctx context.Context, topics TopicChanger) error {
	offset, hw := x.asked.Offset, x.state.HighWatermark()
	if offset == -1 { // the high watermark
		offset = hw
	}
	if offset < 0 || offset > hw {
		return refuse(kerr.OffsetOutOfRange, fmt.Sprintf("offset %d is outside [0, %d]", offset, hw))
	}
	if offset <= x.state.LogStart() {
		return nil
	}
	if err := topics.SetLogStart(ctx, x.state.ID, offset); err != nil {
		return err
	}
	x.state.SetLogStart(offset)
	return nil
}
