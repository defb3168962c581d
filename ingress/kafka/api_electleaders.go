package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
)

// Election types (KIP-460).
const (
	electPreferred = 0
	electUnclean   = 1
)

// electLeaders serves ElectLeaders. Each partition has a single replica, its leader, so there
// is no other to elect; a partition without a leader has lost its metadata.
func electLeaders(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.ElectLeadersRequest)
		resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
		if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
			resp.ErrorCode = kerr.InvalidRequest.Code
			return resp
		}
		view := d.Lookup.View()
		if req.Topics == nil {
			for _, t := range view.Topics() {
				resp.Topics = append(resp.Topics, electable(d.code, req.ElectionType, t))
			}
			return resp
		}
		for i := range req.Topics {
			asked := &req.Topics[i]
			out := kmsg.ElectLeadersResponseTopic{Topic: asked.Topic, Partitions: make([]kmsg.ElectLeadersResponseTopicPartition, 0, len(asked.Partitions))}
			t, ok := view.TopicByName(asked.Topic)
			for _, p := range asked.Partitions {
				err := meta.ErrUnknownTopic // without the name: one request may list very many partitions
				if ok {
					err = elected(req.ElectionType, t, p)
				}
				out.Partitions = append(out.Partitions, kmsg.ElectLeadersResponseTopicPartition{Partition: p, ErrorCode: d.code(err), ErrorMessage: message(err)})
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	}
}

// electable builds the results of the partitions of t that need an election.
func electable(code Coder, kind int8, t *meta.Topic) kmsg.ElectLeadersResponseTopic {
	out := kmsg.ElectLeadersResponseTopic{Topic: t.Name}
	for i := range t.Partitions {
		if err := elected(kind, t, int32(i)); err != errNoElection {
			out.Partitions = append(out.Partitions, kmsg.ElectLeadersResponseTopicPartition{Partition: int32(i), ErrorCode: code(err), ErrorMessage: message(err)})
		}
	}
	return out
}

var (
	errNoElection  = refuse(kerr.ElectionNotNeeded, "the partition already has the right leader")
	errNoPreferred = refuse(kerr.PreferredLeaderNotAvailable, "the preferred leader of the partition is not available")
	errNoEligible  = refuse(kerr.EligibleLeadersNotAvailable, "no replica of the partition is available")
)

// elected returns the outcome of an election.
func elected(kind int8, t *meta.Topic, index int32) error {
	if index < 0 || int(index) >= len(t.Partitions) {
		return meta.ErrUnknownTopic
	}
	p := t.Partitions[index]
	switch {
	case kind == electUnclean && p.Leader >= 0, kind == electPreferred && len(p.Replicas) > 0 && p.Leader == p.Replicas[0]:
		return errNoElection
	case kind == electUnclean:
		return errNoEligible
	}
	return errNoPreferred
}
