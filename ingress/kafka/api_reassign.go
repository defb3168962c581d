package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
)

// listReassignments serves ListPartitionReassignments (KIP-455): no partition is ever on
// its way to another broker, since each has one replica where its log is.
func listReassignments(_ context.Context, r *Request) kmsg.Response { return r.Body.ResponseKind() }

// alterReassignments serves AlterPartitionReassignments: the replicas that a partition has
// are taken, others refused.
func alterReassignments(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.AlterPartitionAssignmentsRequest)
		resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
		view := d.Lookup.View()
		for i := range req.Topics {
			asked := &req.Topics[i]
			t, ok := view.TopicByName(asked.Topic)
			out := kmsg.AlterPartitionAssignmentsResponseTopic{Topic: asked.Topic,
				Partitions: make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, 0, len(asked.Partitions))}
			for j := range asked.Partitions {
				p := &asked.Partitions[j]
				err := errNoPartition
				if ok && p.Partition >= 0 && int(p.Partition) < len(t.Partitions) {
					err = reassigned(view, t.Partitions[p.Partition], p.Replicas)
				}
				row := kmsg.AlterPartitionAssignmentsResponseTopicPartition{Partition: p.Partition, ErrorCode: d.code(err)}
				if err != errNothingToCancel {
					row.ErrorMessage = message(err)
				}
				out.Partitions = append(out.Partitions, row)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	}
}

var (
	errNoPartition      = refuse(kerr.UnknownTopicOrPartition, "there is no such partition")
	errNothingToCancel  = refuse(kerr.NoReassignmentInProgress, "no reassignment is in progress")
	errNoReplicas       = refuse(kerr.InvalidReplicaAssignment, "a partition needs a replica")
	errReplicaTwice     = refuse(kerr.InvalidReplicaAssignment, "a broker is named twice")
	errCannotBeReplaced = refuse(kerr.InvalidReplicaAssignment, "partitions cannot be moved to other brokers yet; name the replicas that the partition has")
)

// reassigned says what comes of giving a partition those replicas, nil for those that it
// had before.
func reassigned(view *meta.View, p *meta.Partition, replicas []int32) error {
	if replicas == nil {
		return errNothingToCancel
	}
	if len(replicas) == 0 {
		return errNoReplicas
	}
	seen := make(map[int32]bool, len(replicas))
	for _, id := range replicas {
		if seen[id] {
			return errReplicaTwice
		}
		seen[id] = true
		if !slices.ContainsFunc(view.Brokers, func(b meta.Broker) bool { return b.ID == id }) {
			return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("there is no broker %d", id))
		}
	}
	if !slices.Equal(replicas, p.Replicas) {
		return errCannotBeReplaced
	}
	return nil
}
