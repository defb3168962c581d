package kafka

import (
	"cmp"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// createTopics serves CreateTopics: each topic by itself succeeds or fails.
func createTopics(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.CreateTopicsRequest)
		specs, errs := planTopics(admin, req)
		if !req.ValidateOnly {
			each(len(specs), func(i int) {
				if errs[i] == nil {
					errs[i] = admin.create(ctx, &specs[i])
				}
			})
		}
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(specs))
		for i := range specs {
			resp.Topics[i] = createdTopic(&specs[i], errs[i], code)
		}
		return resp
	}
}

// planTopics turns the request into specs, each with the reason why it cannot
// be made, if any.
func planTopics(admin *topicAdmin, req *kmsg.CreateTopicsRequest) ([]meta.TopicSpec, []error) {
	specs, errs := make([]meta.TopicSpec, len(req.Topics)), make([]error, len(req.Topics))
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	p := admin.planner()
	for i := range req.Topics {
		t := &req.Topics[i]
		specs[i].Name = t.Topic
		if times[t.Topic] > 1 {
			errs[i] = refuse(kerr.InvalidRequest, fmt.Sprintf("topic %q is in the request %d times", t.Topic, times[t.Topic]))
			continue
		}
		if errs[i] = planTopic(admin, p.view, t, &specs[i]); errs[i] == nil {
			errs[i] = p.create(&specs[i])
		}
	}
	return specs, errs
}

func planTopic(admin *topicAdmin, view *meta.View, t *kmsg.CreateTopicsRequestTopic, s *meta.TopicSpec) error {
	s.Partitions, s.Replication = t.NumPartitions, t.ReplicationFactor
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			return refuse(kerr.InvalidRequest, "give either an assignment or numbers of partitions and replicas (-1 with an assignment)")
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
		if _, twice := s.Configs[c.Name]; twice {
			return refuse(kerr.InvalidRequest, c.Name+" is set twice")
		}
		s.Configs[c.Name] = *c.Value
	}
	return nil
}

// assigned checks an assignment given by hand: partitions from 0 on without a
// gap, and each on all brokers.
func assigned(view *meta.View, given []kmsg.CreateTopicsRequestTopicReplicaAssignment, s *meta.TopicSpec) error {
	seen := make(map[int32]bool, len(given))
	for i := range given {
		p := given[i].Partition
		if p < 0 || int(p) >= len(given) || seen[p] {
			return refuse(kerr.InvalidReplicaAssignment, "assign partitions from 0 on, without gaps, each once")
		}
		seen[p] = true
		if err := placement(view, given[i].Replicas); err != nil {
			return err
		}
	}
	s.Partitions, s.Replication = int32(len(given)), int16(len(view.Brokers))
	return nil
}

func createdTopic(s *meta.TopicSpec, err error, code Coder) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic = s.Name
	if err != nil {
		out.ErrorCode, out.ErrorMessage = code(err), message(err)
		out.NumPartitions, out.ReplicationFactor = -1, -1
		return out
	}
	out.TopicID = s.ID
	out.NumPartitions, out.ReplicationFactor = s.Partitions, s.Replication
	all := topic.Configs()
	out.Configs = make([]kmsg.CreateTopicsResponseTopicConfig, len(all))
	for i := range all {
		value, set := s.Configs[all[i].Name]
		source := kmsg.ConfigSourceDefaultConfig
		if set {
			source = kmsg.ConfigSourceDynamicTopicConfig
		}
		value = cmp.Or(value, all[i].Default)
		out.Configs[i] = kmsg.CreateTopicsResponseTopicConfig{Name: all[i].Name, Value: &value, Source: int8(source)}
	}
	return out
}
