package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// deleteTopics serves DeleteTopics, by name or, since version 6, by id.
func deleteTopics(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DeleteTopicsRequest)
		resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
		asked := req.Topics
		for i := range req.TopicNames {
			asked = append(asked, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
		}
		var deletions []topicDeletion
		if req.TimeoutMillis < 0 {
			for _, a := range pointers(asked) {
				deletions = append(deletions, topicDeletion{asked: a, err: errNoTime})
			}
		} else {
			deletions = resolveDeletions(admin.lookup.View(), asked)
		}
		each(len(deletions), func(i int) {
			if d := &deletions[i]; d.err == nil {
				d.err = admin.topics.DeleteTopic(ctx, d.topic.ID)
			}
		})
		resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(deletions))
		for i := range deletions {
			d, out := &deletions[i], &resp.Topics[i]
			out.Topic, out.TopicID = d.asked.Topic, d.asked.TopicID
			if d.topic != nil {
				out.Topic, out.TopicID = &d.topic.Name, d.topic.ID
			}
			out.ErrorCode, out.ErrorMessage = code(d.err), message(d.err)
		}
		return resp
	}
}

// topicDeletion is a topic to delete, or the reason why it is not deleted.
type topicDeletion struct {
	asked *kmsg.DeleteTopicsRequestTopic
	topic *meta.Topic
	err   error
}

// resolveDeletions resolves the requested topics. A topic requested more than once, by name or by id,
// appears once, with an error.
func resolveDeletions(view *meta.View, asked []kmsg.DeleteTopicsRequestTopic) []topicDeletion {
	deletions := make([]topicDeletion, 0, len(asked))
	at := make(map[string]int, len(asked))
	for i := range asked {
		d := topicDeletion{asked: &asked[i]}
		a, byID := d.asked, !topic.ID(asked[i].TopicID).IsZero()
		var key string
		switch {
		case byID && a.Topic != nil:
			d.err = refuse(kerr.InvalidRequest, "give either the name or the id of a topic")
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
			first := &deletions[n]
			first.err = refuse(kerr.InvalidRequest, "the topic is in the request more than once")
			if (first.asked.Topic == nil) == byID { // like Kafka, identify it the way the request did
				first.topic = nil
			}
			continue
		}
		if key != "" {
			at[key] = len(deletions)
		}
		deletions = append(deletions, d)
	}
	return deletions
}
