package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
)

// createPartitions serves CreatePartitions; topics can only grow.
func createPartitions(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.CreatePartitionsRequest)
		topics, times := distinctNames(req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
		if req.TimeoutMillis < 0 {
			topics = pointers(req.Topics)
		}
		targets, errs := make([]*meta.Topic, len(topics)), make([]error, len(topics))
		p := admin.planner()
		defer p.end()
		for i, t := range topics {
			switch {
			case req.TimeoutMillis < 0:
				errs[i] = errNoTime
			case times[t.Topic] > 1:
				errs[i] = topicTwice(t.Topic, times[t.Topic])
			default:
				targets[i], errs[i] = planGrowth(p, t)
			}
		}
		if !req.ValidateOnly {
			each(len(targets), func(i int) {
				if errs[i] == nil {
					errs[i] = admin.topics.GrowTopic(ctx, targets[i].ID, topics[i].Count)
				}
			})
		}
		resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
		resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, len(topics))
		for i, t := range topics {
			resp.Topics[i] = kmsg.CreatePartitionsResponseTopic{Topic: t.Topic, ErrorCode: code(errs[i]), ErrorMessage: message(errs[i])}
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
