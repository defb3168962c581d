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
		var doomed []doomedTopic
		if req.TimeoutMillis < 0 {
			for _, a := range pointers(asked) {
				doomed = append(doomed, doomedTopic{asked: a, err: errNoTime})
			}
		} else {
			doomed = findDoomed(admin.lookup.View(), asked)
		}
		each(len(doomed), func(i int) {
			if d := &doomed[i]; d.err == nil {
				d.err = admin.topics.DeleteTopic(ctx, d.topic.ID)
			}
		})
		resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(doomed))
		for i := range doomed {
			d, out := &doomed[i], &resp.Topics[i]
			out.Topic, out.TopicID = d.asked.Topic, d.asked.TopicID
			if d.topic != nil {
				out.Topic, out.TopicID = &d.topic.Name, d.topic.ID
			}
			out.ErrorCode, out.ErrorMessage = code(d.err), message(d.err)
		}
		return resp
	}
}

// doomedTopic is a topic that is to be deleted, or why not.
type doomedTopic struct {
	asked *kmsg.DeleteTopicsRequestTopic
	topic *meta.Topic
	err   error
}

// findDoomed looks up what is asked for. A topic that is named more than once, be it by name
// or by id, is there once, with an error.
func findDoomed(view *meta.View, asked []kmsg.DeleteTopicsRequestTopic) []doomedTopic {
	doomed := make([]doomedTopic, 0, len(asked))
	at := make(map[string]int, len(asked))
	for i := range asked {
		d := doomedTopic{asked: &asked[i]}
		a, byID := d.asked, !topic.ID(asked[i].TopicID).IsZero()
		var key string
		switch {
		case byID && a.Topic != nil:
			d.err = refuse(kerr.InvalidRequest, "name a topic either by name or by id")
		case byID:
			d.topic, d.err = lookup.ByID(view, a.TopicID)
			key = string(a.TopicID[:])
		case a.Topic == nil:
			d.err = refuse(kerr.InvalidRequest, "a topic has neither name nor id")
		default:
			d.topic, d.err = lookup.ByName(view, *a.Topic)
			key = "name " + *a.Topic
		}
		if d.topic != nil {
			key = string(d.topic.ID[:])
		}
		if n, twice := at[key]; twice {
			first := &doomed[n]
			first.err = refuse(kerr.InvalidRequest, "the topic is in the request more than once")
			if (first.asked.Topic == nil) == byID { // as in Kafka it is then told as it was asked for
				first.topic = nil
			}
			continue
		}
		if key != "" {
			at[key] = len(doomed)
		}
		doomed = append(doomed, d)
	}
	return doomed
}
