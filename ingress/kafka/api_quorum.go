package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataTopic is what Kafka calls the log of its metadata; nobody can read it here.
const metadataTopic = "__cluster_metadata"

// Quorum is the state of the group of nodes that keeps the cluster's metadata.
type Quorum struct {
	Leader int32   // broker id; -1 where there is none
	Epoch  int32   // its Raft term
	Voters []Voter // the leader, too
	// Committed is the index after the last entry that is committed.
	Committed int64
}

// Voter is a node of a Quorum, with the index after the last entry that it has.
type Voter struct {
	Node int32
	End  int64
}

// describeQuorum serves DescribeQuorum (KIP-595, KIP-836). Voters have no address: no
// client reaches them by the Kafka protocol.
func describeQuorum(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DescribeQuorumRequest)
		resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
		if req.Version >= 2 {
			resp.ErrorMessage = kmsg.StringPtr("")
		}
		if !asksForMetadata(req) {
			for i := range req.Topics {
				resp.Topics = append(resp.Topics, noQuorum(req, &req.Topics[i]))
			}
			return resp
		}
		q := d.Quorum()
		part := kmsg.NewDescribeQuorumResponseTopicPartition()
		if req.Version >= 2 {
			part.ErrorMessage = kmsg.StringPtr("")
		}
		if q.Leader < 0 {
			part.ErrorCode = kerr.NotLeaderForPartition.Code
		} else {
			describeVoters(q, &part, resp)
		}
		resp.Topics = []kmsg.DescribeQuorumResponseTopic{{Topic: metadataTopic, Partitions: []kmsg.DescribeQuorumResponseTopicPartition{part}}}
		return resp
	}
}

// asksForMetadata tells whether a request asks for the only quorum that there is.
func asksForMetadata(req *kmsg.DescribeQuorumRequest) bool {
	if len(req.Topics) != 1 || req.Topics[0].Topic != metadataTopic {
		return false
	}
	parts := req.Topics[0].Partitions
	return len(parts) == 1 && parts[0].Partition == 0
}

func noQuorum(req *kmsg.DescribeQuorumRequest, asked *kmsg.DescribeQuorumRequestTopic) kmsg.DescribeQuorumResponseTopic {
	out := kmsg.DescribeQuorumResponseTopic{Topic: asked.Topic}
	for _, p := range asked.Partitions {
		part := kmsg.DescribeQuorumResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.UnknownTopicOrPartition.Code}
		if req.Version >= 2 {
			part.ErrorMessage = &noQuorumText
		}
		out.Partitions = append(out.Partitions, part)
	}
	return out
}

var noQuorumText = "only partition 0 of " + metadataTopic + " has a quorum"

func describeVoters(q Quorum, part *kmsg.DescribeQuorumResponseTopicPartition, resp *kmsg.DescribeQuorumResponse) {
	part.LeaderID, part.LeaderEpoch, part.HighWatermark = q.Leader, q.Epoch, q.Committed
	for _, v := range q.Voters {
		voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		voter.ReplicaID, voter.LogEndOffset = v.Node, v.End
		if v.Node == q.Leader {
			now := time.Now().UnixMilli()
			voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = now, now
		}
		part.CurrentVoters = append(part.CurrentVoters, voter)
		resp.Nodes = append(resp.Nodes, kmsg.DescribeQuorumResponseNode{NodeID: v.Node})
	}
}
