package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// createTopics serves CreateTopics; each topic succeeds or fails by itself.
func createTopics(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.CreateTopicsRequest)
		names, times := distinctNames(req.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
		if req.TimeoutMillis < 0 {
			names = pointers(req.Topics)
		}
		specs, errs := make([]meta.TopicSpec, len(names)), make([]error, len(names))
		p := admin.planner()
		defer p.end()
		for i, t := range names {
			specs[i].Name = t.Topic
			switch {
			case req.TimeoutMillis < 0:
				errs[i] = errNoTime
			case times[t.Topic] > 1:
				errs[i] = topicTwice(t.Topic, times[t.Topic])
			default:
				if errs[i] = planTopic(admin, p.view, t, &specs[i]); errs[i] == nil {
					errs[i] = p.create(&specs[i])
				}
			}
		}
		each(len(specs), func(i int) {
			switch {
			case errs[i] != nil:
			case req.ValidateOnly:
				specs[i].ID = topic.NewID() // like Kafka, a random id although the topic is not created
			default:
				errs[i] = admin.create(ctx, &specs[i])
			}
		})
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(specs))
		for i := range specs {
			resp.Topics[i] = createdTopic(&specs[i], names[i].Configs, errs[i], code)
		}
		return resp
	}
}

func planTopic(admin *topicAdmin, view *meta.View, t *kmsg.CreateTopicsRequestTopic, s *meta.TopicSpec) error {
	s.Partitions, s.Replication = t.NumPartitions, t.ReplicationFactor
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			return refuse(kerr.InvalidRequest, "give either an assignment, or partition and replica counts (-1 with an assignment)")
		}
		if err := assigned(view, t.ReplicaAssignment, s); err != nil {
			return err
		}
	}
	if s.Partitions == -1 {
		s.Partitions = admin.cfg.Partitions
	}
	if s.Replication == -1 {
		s.Replication = admin.replication()
	}
	s.Configs = make(map[string]string, len(t.Configs))
	for _, c := range t.Configs {
		if c.Value == nil {
			return fmt.Errorf("%w: %s has no value; leave it out for the default", topic.ErrInvalidConfig, c.Name)
		}
		s.Configs[c.Name] = *c.Value // the last value counts
	}
	return nil
}

// assigned checks a manual assignment: consecutive partitions from 0, each on all brokers.
func assigned(view *meta.View, given []kmsg.CreateTopicsRequestTopicReplicaAssignment, s *meta.TopicSpec) error {
	seen := make(map[int32]bool, len(given))
	for i := range given {
		p := given[i].Partition
		if p < 0 || int(p) >= len(given) || seen[p] {
			return refuse(kerr.InvalidReplicaAssignment, "assign consecutive partitions from 0, each once")
		}
		seen[p] = true
		if err := placement(view, given[i].Replicas); err != nil {
			return err
		}
	}
	s.Partitions, s.Replication = int32(len(given)), int16(len(view.Brokers))
	return nil
}

// createdTopic builds the result of a topic. Configs are returned as requested, or as they were set
// without a request; those stored and described are normalized.
func createdTopic(s *meta.TopicSpec, given []kmsg.CreateTopicsRequestTopicConfig, err error, code Coder) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic = s.Name
	if err != nil {
		out.ErrorCode, out.ErrorMessage = code(err), message(err)
		out.NumPartitions, out.ReplicationFactor = -1, -1
		out.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // null would mean that the client may not see them
		return out
	}
	out.TopicID = s.ID
	out.NumPartitions, out.ReplicationFactor = s.Partitions, s.Replication
	values := make(map[string]*string, len(given))
	for name, value := range s.Configs {
		values[name] = &value
	}
	for i := range given {
		values[given[i].Name] = given[i].Value
	}
	all := topic.Configs()
	out.Configs = make([]kmsg.CreateTopicsResponseTopicConfig, len(all))
	for i := range all {
		value, source := values[all[i].Name], kmsg.ConfigSourceDynamicTopicConfig
		if value == nil {
			value, source = &all[i].Default, kmsg.ConfigSourceDefaultConfig
		}
		out.Configs[i] = kmsg.CreateTopicsResponseTopicConfig{Name: all[i].Name, Value: value, Source: int8(source)}
	}
	return out
}
