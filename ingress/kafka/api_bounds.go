package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// bounded wraps a handler to accept at most RequestPartitions elements per request.
func (h *Handlers) bounded(next Handler) Handler { return h.atMost(h.cfg.RequestPartitions, next) }

// atMost closes the connection on requests that list more partitions, topics, resources or
// configs than most. Most APIs have no error field that would cost less than what they ask for.
func (h *Handlers) atMost(most int, next Handler) Handler {
	return handlerOf(func(ctx context.Context, r *Request, reply func(Response)) {
		if n := named(r.Body); n > most {
			h.deps.Log.Warn("request lists too many elements; closing its connection", "api", kmsg.NameForKey(r.Key),
				"named", n, "allowed", most, "client", r.ClientID, "connection", r.Conn.ID)
			reply(Response{Silent: true, Close: true})
			return
		}
		next.Serve(ctx, r, reply)
	})
}

// named counts the elements that a request lists, topic by topic.
func named(req kmsg.Request) int {
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		return sum(r.Topics, func(t *kmsg.ProduceRequestTopic) int { return len(t.Partitions) })
	case *kmsg.FetchRequest:
		return sum(r.Topics, func(t *kmsg.FetchRequestTopic) int { return len(t.Partitions) }) +
			sum(r.ForgottenTopics, func(t *kmsg.FetchRequestForgottenTopic) int { return len(t.Partitions) })
	case *kmsg.ListOffsetsRequest:
		return sum(r.Topics, func(t *kmsg.ListOffsetsRequestTopic) int { return len(t.Partitions) })
	case *kmsg.DeleteRecordsRequest:
		return sum(r.Topics, func(t *kmsg.DeleteRecordsRequestTopic) int { return len(t.Partitions) })
	case *kmsg.OffsetForLeaderEpochRequest:
		return sum(r.Topics, func(t *kmsg.OffsetForLeaderEpochRequestTopic) int { return len(t.Partitions) })
	case *kmsg.CreateTopicsRequest:
		return sum(r.Topics, func(t *kmsg.CreateTopicsRequestTopic) int { return len(t.ReplicaAssignment) + len(t.Configs) })
	case *kmsg.CreatePartitionsRequest:
		return sum(r.Topics, func(t *kmsg.CreatePartitionsRequestTopic) int { return len(t.Assignment) })
	case *kmsg.DescribeConfigsRequest:
		return sum(r.Resources, func(t *kmsg.DescribeConfigsRequestResource) int { return len(t.ConfigNames) })
	case *kmsg.AlterConfigsRequest:
		return sum(r.Resources, func(t *kmsg.AlterConfigsRequestResource) int { return len(t.Configs) })
	case *kmsg.IncrementalAlterConfigsRequest:
		return sum(r.Resources, func(t *kmsg.IncrementalAlterConfigsRequestResource) int { return len(t.Configs) })
	case *kmsg.DescribeLogDirsRequest:
		return sum(r.Topics, func(t *kmsg.DescribeLogDirsRequestTopic) int { return len(t.Partitions) })
	case *kmsg.ElectLeadersRequest:
		return sum(r.Topics, func(t *kmsg.ElectLeadersRequestTopic) int { return len(t.Partitions) })
	case *kmsg.AlterPartitionAssignmentsRequest:
		return sum(r.Topics, func(t *kmsg.AlterPartitionAssignmentsRequestTopic) int {
			return sum(t.Partitions, func(p *kmsg.AlterPartitionAssignmentsRequestTopicPartition) int { return len(p.Replicas) })
		})
	case *kmsg.ListPartitionReassignmentsRequest:
		return sum(r.Topics, func(t *kmsg.ListPartitionReassignmentsRequestTopic) int { return len(t.Partitions) })
	case *kmsg.DescribeProducersRequest:
		return sum(r.Topics, func(t *kmsg.DescribeProducersRequestTopic) int { return len(t.Partitions) })
	case *kmsg.DescribeQuorumRequest:
		return sum(r.Topics, func(t *kmsg.DescribeQuorumRequestTopic) int { return len(t.Partitions) })
	case *kmsg.AlterClientQuotasRequest:
		return sum(r.Entries, func(e *kmsg.AlterClientQuotasRequestEntry) int { return len(e.Entity) + len(e.Ops) })
	case *kmsg.CreateACLsRequest:
		return len(r.Creations)
	case *kmsg.DeleteACLsRequest:
		return len(r.Filters)
	case *kmsg.DescribeClientQuotasRequest:
		return len(r.Components)
	case *kmsg.DescribeUserSCRAMCredentialsRequest:
		return len(r.Users)
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		return len(r.Deletions) + len(r.Upsertions)
	case *kmsg.UpdateFeaturesRequest:
		return len(r.FeatureUpdates)
	case *kmsg.DescribeTransactionsRequest:
		return len(r.TransactionalIDs)
	case *kmsg.ListTransactionsRequest:
		return len(r.StateFilters) + len(r.ProducerIDFilters)
	case *kmsg.MetadataRequest:
		return len(r.Topics)
	case *kmsg.DescribeTopicPartitionsRequest:
		return len(r.Topics)
	case *kmsg.ListConfigResourcesRequest:
		return len(r.ResourceTypes)
	case *kmsg.DeleteTopicsRequest:
		return len(r.Topics) + len(r.TopicNames)
	case *kmsg.FindCoordinatorRequest:
		return len(r.CoordinatorKeys)
	}
	return 0
}

// sum counts the items and what n counts in each.
func sum[T any](items []T, n func(*T) int) int {
	total := len(items)
	for i := range items {
		total += n(&items[i])
	}
	return total
}
