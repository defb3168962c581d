package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
)

// createPartitions serves CreatePartitions: topics only grow.
func createPartitions(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.CreatePartitionsRequest)
		targets, errs := make([]*meta.Topic, len(req.Topics)), make([]error, len(req.Topics))
		seen := make(map[string]bool, len(req.Topics))
		p := admin.planner()
		for i := range req.Topics {
			t := &req.Topics[i]
			if seen[t.Topic] {
				errs[i] = refuse(kerr.InvalidRequest, fmt.Sprintf("topic %q is in the request twice", t.Topic))
				continue
			}
			seen[t.Topic] = true
			targets[i], errs[i] = planGrowth(p, t)
		}
		if !req.ValidateOnly {
			each(len(targets), func(i int) {
				if errs[i] == nil {
					errs[i] = admin.topics.GrowTopic(ctx, targets[i].ID, req.Topics[i].Count)
				}
			})
		}
		resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
		resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, len(req.Topics))
		for i := range req.Topics {
			resp.Topics[i] = kmsg.CreatePartitionsResponseTopic{Topic: req.Topics[i].Topic, ErrorCode: code(errs[i]), ErrorMessage: message(errs[i])}
		}
		return resp
	}
}

func planGrowth(p *planner, t *kmsg.CreatePartitionsRequestTopic) (*meta.Topic, error) {
	target, err := lookup.ByName(p.view, t.Topic)
	if err != nil {
		return nil, err
	}
	have := int32(len(target.Partitions))
	if t.Count <= have {
		return nil, refuse(kerr.InvalidPartitions, fmt.Sprintf("topic %q has %d partitions already; ask for more than that, not %d", t.Topic, have, t.Count))
	}
	if t.Assignment != nil {
		if int64(len(t.Assignment)) != int64(t.Count)-int64(have) {
			return nil, refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("%d partitions are added but %d are assigned", t.Count-have, len(t.Assignment)))
		}
		for i := range t.Assignment {
			if err := placement(p.view, t.Assignment[i].Replicas); err != nil {
				return nil, err
			}
		}
	}
	return target, p.take(t.Count-have, t.Count)
}
