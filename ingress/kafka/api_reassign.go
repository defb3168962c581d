package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
)

// listReassignments serves ListPartitionReassignments (KIP-455): there are none, since each
// partition has a single replica that does not move.
func listReassignments(_ context.Context, r *Request) kmsg.Response { return r.Body.ResponseKind() }

// alterReassignments serves AlterPartitionReassignments: only a partition's current replicas
// are accepted.
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
	errNoReplicas       = refuse(kerr.InvalidReplicaAssignment, "a partition needs at least one replica")
	errReplicaTwice     = refuse(kerr.InvalidReplicaAssignment, "a broker is named twice")
	errCannotBeReplaced = refuse(kerr.InvalidReplicaAssignment, "partitions cannot be moved to other brokers yet; name the replicas that the partition has")
)

// reassigned returns the outcome of assigning replicas to a partition; nil cancels a
// reassignment.
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
