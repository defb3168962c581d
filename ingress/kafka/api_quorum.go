package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataTopic is Kafka's name for the metadata log; here it is not a readable topic.
const metadataTopic = "__cluster_metadata"

// Quorum is the state of the Raft group that holds the cluster's metadata.
type Quorum struct {
	Leader int32   // broker id; -1 if there is none
	Epoch  int32   // the Raft term
	Voters []Voter // including the leader
	// Committed is the index after the last committed entry.
	Committed int64
}

// Voter is a node of a Quorum, with the index after its last entry.
type Voter struct {
	Node int32
	End  int64
}

// describeQuorum serves DescribeQuorum (KIP-595, KIP-836). Voters have no endpoints, since
// clients cannot reach them over the Kafka protocol.
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

// asksForMetadata reports whether a request asks for the only existing quorum.
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
