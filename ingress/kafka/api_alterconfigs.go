package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// configChange is what an alteration does to the configs of one topic.
type configChange struct {
	topic *meta.Topic
	set   map[string]string
	del   []string
	err   error
}

// resource names what is altered.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// target finds the topic of r. Only topics can be altered at run time.
func (a *topicAdmin) target(r resource, seen map[resource]bool) (*meta.Topic, error) {
	if seen[r] {
		return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("%q is in the request twice", r.name))
	}
	seen[r] = true
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
	case kmsg.ConfigResourceTypeBroker:
		return nil, refuse(kerr.InvalidRequest, "a broker is configured in its configuration file, not over this protocol")
	default:
		return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("resource type %v has no configs here; alter topics", r.kind))
	}
	if err := topic.ValidateName(r.name); err != nil {
		return nil, err
	}
	return lookup.ByName(a.lookup.View(), r.name)
}

// apply makes the changes that are without error.
func (a *topicAdmin) apply(ctx context.Context, changes []configChange) {
	each(len(changes), func(i int) {
		if c := &changes[i]; c.err == nil && (len(c.set) > 0 || len(c.del) > 0) {
			c.err = a.topics.AlterTopic(ctx, c.topic.ID, c.set, c.del)
		}
	})
}

// incrementalAlterConfigs serves IncrementalAlterConfigs (KIP-339).
func incrementalAlterConfigs(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.IncrementalAlterConfigsRequest)
		changes := make([]configChange, len(req.Resources))
		seen := make(map[resource]bool, len(changes))
		for i := range req.Resources {
			c, asked := &changes[i], &req.Resources[i]
			if c.topic, c.err = admin.target(resource{asked.ResourceType, asked.ResourceName}, seen); c.err == nil {
				c.err = c.increment(asked.Configs)
			}
		}
		if !req.ValidateOnly {
			admin.apply(ctx, changes)
		}
		resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, len(changes))
		for i := range changes {
			resp.Resources[i] = kmsg.IncrementalAlterConfigsResponseResource{ErrorCode: code(changes[i].err), ErrorMessage: message(changes[i].err),
				ResourceType: req.Resources[i].ResourceType, ResourceName: req.Resources[i].ResourceName}
		}
		return resp
	}
}

// increment works out what ops do, and validates the configs as they will be.
func (c *configChange) increment(ops []kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	after := make(map[string]string, len(c.topic.Configs)+len(ops))
	maps.Copy(after, c.topic.Configs)
	c.set = make(map[string]string)
	seen := make(map[string]bool, len(ops))
	for i := range ops {
		op := &ops[i]
		if seen[op.Name] {
			return refuse(kerr.InvalidRequest, op.Name+" is altered twice")
		}
		seen[op.Name] = true
		known, err := topic.LookupConfig(op.Name)
		if err != nil {
			return err
		}
		if op.Op == kmsg.IncrementalAlterConfigOpDelete {
			c.del = append(c.del, op.Name)
			delete(after, op.Name)
			continue
		}
		value, err := incremented(known, op, after)
		if err != nil {
			return err
		}
		c.set[op.Name], after[op.Name] = value, value
	}
	return topic.ValidateConfigs(after)
}

// incremented returns the value that op gives to a config.
func incremented(known *topic.Config, op *kmsg.IncrementalAlterConfigsRequestResourceConfig, now topic.Values) (string, error) {
	if op.Value == nil {
		return "", fmt.Errorf("%w: %s has no value; delete it to have the default", topic.ErrInvalidConfig, op.Name)
	}
	if op.Op == kmsg.IncrementalAlterConfigOpSet {
		return *op.Value, nil
	}
	if known.Kind != topic.List {
		return "", fmt.Errorf("%w: %s is not a list; only set or delete it", topic.ErrInvalidConfig, op.Name)
	}
	items, given := topic.SplitList(now.Get(op.Name)), topic.SplitList(*op.Value)
	switch op.Op {
	case kmsg.IncrementalAlterConfigOpAppend:
		for _, g := range given {
			if !slices.Contains(items, g) {
				items = append(items, g)
			}
		}
	case kmsg.IncrementalAlterConfigOpSubtract:
		items = slices.DeleteFunc(items, func(item string) bool { return slices.Contains(given, item) })
	default:
		return "", refuse(kerr.InvalidRequest, fmt.Sprintf("%s: operation %d; use set, delete, append or subtract", op.Name, op.Op))
	}
	return strings.Join(items, ","), nil
}

// alterConfigs serves the older AlterConfigs, which replaces all configs of a
// topic by those given.
func alterConfigs(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.AlterConfigsRequest)
		changes := make([]configChange, len(req.Resources))
		seen := make(map[resource]bool, len(changes))
		for i := range req.Resources {
			c, asked := &changes[i], &req.Resources[i]
			if c.topic, c.err = admin.target(resource{asked.ResourceType, asked.ResourceName}, seen); c.err == nil {
				c.err = c.replace(asked.Configs)
			}
		}
		if !req.ValidateOnly {
			admin.apply(ctx, changes)
		}
		resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
		resp.Resources = make([]kmsg.AlterConfigsResponseResource, len(changes))
		for i := range changes {
			resp.Resources[i] = kmsg.AlterConfigsResponseResource{ErrorCode: code(changes[i].err), ErrorMessage: message(changes[i].err),
				ResourceType: req.Resources[i].ResourceType, ResourceName: req.Resources[i].ResourceName}
		}
		return resp
	}
}

func (c *configChange) replace(given []kmsg.AlterConfigsRequestResourceConfig) error {
	c.set = make(map[string]string, len(given))
	for i := range given {
		g := &given[i]
		if g.Value == nil {
			return fmt.Errorf("%w: %s has no value; leave it out for the default", topic.ErrInvalidConfig, g.Name)
		}
		if _, twice := c.set[g.Name]; twice {
			return refuse(kerr.InvalidRequest, g.Name+" is set twice")
		}
		c.set[g.Name] = *g.Value
	}
	for name := range c.topic.Configs {
		if _, kept := c.set[name]; !kept {
			c.del = append(c.del, name)
		}
	}
	slices.Sort(c.del)
	return topic.ValidateConfigs(c.set)
}
