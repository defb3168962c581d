package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
)

// offsetForLeaderEpoch serves OffsetForLeaderEpoch (KIP-320), by which clients detect
// truncation.
func offsetForLeaderEpoch(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.OffsetForLeaderEpochRequest)
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		resp.Topics = make([]kmsg.OffsetForLeaderEpochResponseTopic, len(req.Topics))
		view := d.Lookup.View()
		for i := range req.Topics {
			t, out := &req.Topics[i], &resp.Topics[i]
			out.Topic = t.Topic
			out.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, len(t.Partitions))
			found, err := lookup.ByName(view, t.Topic)
			for j := range t.Partitions {
				epoch, end, err := epochEnd(d.Lookup, found, err, &t.Partitions[j])
				out.Partitions[j] = kmsg.OffsetForLeaderEpochResponseTopicPartition{ErrorCode: d.code(err),
					Partition: t.Partitions[j].Partition, LeaderEpoch: epoch, EndOffset: end}
			}
		}
		return resp
	}
}

func epochEnd(l *lookup.Lookup, t *meta.Topic, unknown error, p *kmsg.OffsetForLeaderEpochRequestTopicPartition) (int32, int64, error) {
	if unknown != nil {
		return -1, -1, unknown
	}
	s, err := l.Partition(t, p.Partition)
	if err == nil {
		err = lookup.CheckEpoch(s, p.CurrentLeaderEpoch)
	}
	if err != nil {
		return -1, -1, err
	}
	epoch, end := s.EpochEnd(p.LeaderEpoch)
	return epoch, end, nil
}
