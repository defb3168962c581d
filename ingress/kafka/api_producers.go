package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// ProducerStates exposes the idempotent producers of partitions.
type ProducerStates interface {
	// ProducerCount returns the number of producers of a partition.
	ProducerCount(topic.Partition) int
	// ProducerStates returns them by id; ok is false while some are still being loaded.
	ProducerStates(topic.Partition) (states []idempotence.State, ok bool)
}

var errProducersLoading = refuse(kerr.NotLeaderForPartition, "the producers of the partition are still being loaded; try again")

// describeProducers serves DescribeProducers (KIP-664). A partition may have very many
// producers, so it is answered once, however often it is listed.
func (h *Handlers) describeProducers(ctx context.Context, r *Request, reply func(Response)) {
	h.searches.serve(ctx, r, reply, func() kmsg.Response {
		req := r.Body.(*kmsg.DescribeProducersRequest)
		resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
		view := h.deps.Lookup.View()
		for _, asked := range producersAsked(req) {
			out := kmsg.DescribeProducersResponseTopic{Topic: asked.name}
			t, err := lookup.ByName(view, asked.name)
			for _, named := range asked.partitions {
				p := *named.asked
				part := kmsg.DescribeProducersResponseTopicPartition{Partition: p}
				failed := err
				if failed == nil {
					part.ActiveProducers, failed = h.activeProducers(t, p)
				}
				part.ErrorCode, part.ErrorMessage = h.deps.code(failed), message(failed)
				out.Partitions = append(out.Partitions, part)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	})
}

// producersAsked returns the requested partitions without duplicates.
func producersAsked(req *kmsg.DescribeProducersRequest) []distinctTopic[int32] {
	return distinct(req.Topics, func(t *kmsg.DescribeProducersRequestTopic) (string, []int32) { return t.Topic, t.Partitions },
		func(p *int32) int32 { return *p })
}

func (h *Handlers) activeProducers(t *meta.Topic, index int32) ([]kmsg.DescribeProducersResponseTopicPartitionActiveProducer, error) {
	switch {
	case index < 0 || int(index) >= len(t.Partitions):
		return nil, meta.ErrUnknownTopic
	case t.Partitions[index].Leader != h.deps.Node:
		return nil, lookup.ErrNotLeader
	}
	states, ok := h.deps.Producers.ProducerStates(topic.Partition{Topic: t.ID, Index: index})
	if !ok {
		return nil, errProducersLoading
	}
	out := make([]kmsg.DescribeProducersResponseTopicPartitionActiveProducer, len(states))
	for i, s := range states {
		out[i] = kmsg.DescribeProducersResponseTopicPartitionActiveProducer{ProducerID: s.ID, ProducerEpoch: int32(s.Epoch),
			LastSequence: s.LastSequence, LastTimestamp: s.AppendedMs, CoordinatorEpoch: -1, CurrentTxnStartOffset: -1}
	}
	return out, nil
}
