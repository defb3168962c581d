package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// deleteTopics serves DeleteTopics, by name or, from version 6 on, by id.
func deleteTopics(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DeleteTopicsRequest)
		resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
		asked := req.Topics
		for i := range req.TopicNames {
			asked = append(asked, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
		}
		resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(asked))
		targets, errs := findDoomed(admin.lookup.View(), asked)
		each(len(asked), func(i int) {
			if errs[i] == nil {
				errs[i] = admin.topics.DeleteTopic(ctx, targets[i].ID)
			}
		})
		for i := range asked {
			out := &resp.Topics[i]
			out.Topic, out.TopicID = asked[i].Topic, asked[i].TopicID
			if t := targets[i]; t != nil {
				out.Topic, out.TopicID = &t.Name, t.ID
			}
			out.ErrorCode, out.ErrorMessage = code(errs[i]), message(errs[i])
		}
		return resp
	}
}

func findDoomed(view *meta.View, asked []kmsg.DeleteTopicsRequestTopic) ([]*meta.Topic, []error) {
	targets, errs := make([]*meta.Topic, len(asked)), make([]error, len(asked))
	seen := make(map[topic.ID]bool, len(asked))
	for i := range asked {
		a := &asked[i]
		switch byID := !topic.ID(a.TopicID).IsZero(); {
		case byID && a.Topic != nil:
			errs[i] = refuse(kerr.InvalidRequest, "name a topic either by name or by id")
		case byID:
			targets[i], errs[i] = lookup.ByID(view, a.TopicID)
		case a.Topic == nil:
			errs[i] = refuse(kerr.InvalidRequest, "a topic has neither name nor id")
		default:
			targets[i], errs[i] = lookup.ByName(view, *a.Topic)
		}
		if t := targets[i]; t != nil {
			if seen[t.ID] {
				errs[i] = refuse(kerr.InvalidRequest, "the topic is in the request twice")
			}
			seen[t.ID] = true
		}
	}
	return targets, errs
}
