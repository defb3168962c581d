package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// configOp is the requested change of one config.
type configOp struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// resource identifies what is altered.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// configChange is the requested change of one resource.
type configChange struct {
	resource
	ops     []configOp
	replace bool // configs not listed revert to their defaults

	do  func(ctx context.Context) error // applies the checked change; nil: nothing to do
	err error
}

// incrementalAlterConfigs serves IncrementalAlterConfigs (KIP-339).
func incrementalAlterConfigs(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.IncrementalAlterConfigsRequest)
		changes := make([]configChange, len(req.Resources))
		for i := range req.Resources {
			asked := &req.Resources[i]
			changes[i] = configChange{resource: resource{asked.ResourceType, asked.ResourceName}, ops: make([]configOp, len(asked.Configs))}
			for j, c := range asked.Configs {
				changes[i].ops[j] = configOp{c.Name, c.Op, c.Value}
			}
		}
		admin.alter(ctx, changes, req.ValidateOnly)
		resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, len(changes))
		for i := range changes {
			resp.Resources[i] = kmsg.IncrementalAlterConfigsResponseResource{ErrorCode: code(changes[i].err), ErrorMessage: message(changes[i].err),
				ResourceType: changes[i].kind, ResourceName: changes[i].name}
		}
		return resp
	}
}

// alterConfigs serves the older AlterConfigs, which replaces all configs of a resource.
func alterConfigs(admin *topicAdmin, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.AlterConfigsRequest)
		changes := make([]configChange, len(req.Resources))
		for i := range req.Resources {
			asked := &req.Resources[i]
			changes[i] = configChange{resource: resource{asked.ResourceType, asked.ResourceName}, ops: make([]configOp, len(asked.Configs)), replace: true}
			for j, c := range asked.Configs {
				changes[i].ops[j] = configOp{c.Name, kmsg.IncrementalAlterConfigOpSet, c.Value}
			}
		}
		admin.alter(ctx, changes, req.ValidateOnly)
		resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
		resp.Resources = make([]kmsg.AlterConfigsResponseResource, len(changes))
		for i := range changes {
			resp.Resources[i] = kmsg.AlterConfigsResponseResource{ErrorCode: code(changes[i].err), ErrorMessage: message(changes[i].err),
				ResourceType: changes[i].kind, ResourceName: changes[i].name}
		}
		return resp
	}
}

// alter checks each change by itself and applies those without error.
func (a *topicAdmin) alter(ctx context.Context, changes []configChange, validateOnly bool) {
	times := make(map[resource]int, len(changes))
	for i := range changes {
		times[changes[i].resource]++
	}
	for i := range changes {
		c := &changes[i]
		if times[c.resource] > 1 {
			c.err = refuse(kerr.InvalidRequest, fmt.Sprintf("%q is in the request %d times", c.name, times[c.resource]))
		} else if c.err = c.wellFormed(); c.err == nil {
			c.err = a.prepare(c, validateOnly)
		}
	}
	if validateOnly {
		return
	}
	each(len(changes), func(i int) {
		if c := &changes[i]; c.err == nil && c.do != nil {
			c.err = c.do(ctx)
		}
	})
}

// wellFormed checks what holds for every kind of resource.
func (c *configChange) wellFormed() error {
	seen := make(map[string]bool, len(c.ops))
	for i := range c.ops {
		op := &c.ops[i]
		switch {
		case seen[op.name]:
			return refuse(kerr.InvalidRequest, op.name+" is altered twice")
		case op.op != kmsg.IncrementalAlterConfigOpDelete && op.value == nil:
			return refuse(kerr.InvalidRequest, op.name+" has no value; delete it to restore the default")
		case op.op < kmsg.IncrementalAlterConfigOpSet || op.op > kmsg.IncrementalAlterConfigOpSubtract:
			// Kafka has no specific code for this.
			return refuse(kerr.UnknownServerError, fmt.Sprintf("%s: operation %d; use set, delete, append or subtract", op.name, op.op))
		}
		seen[op.name] = true
	}
	return nil
}

// prepare checks c and determines what to do.
func (a *topicAdmin) prepare(c *configChange, validateOnly bool) error {
	switch c.kind {
	case kmsg.ConfigResourceTypeTopic:
		return a.prepareTopic(c)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return a.prepareLogger(c)
	case kmsg.ConfigResourceTypeBroker:
		if err := a.checkBroker(c); err != nil || validateOnly {
			return err
		}
		if !slices.ContainsFunc(c.ops, func(o configOp) bool { return o.op != kmsg.IncrementalAlterConfigOpDelete }) {
			return nil // nothing is set, so there is nothing to delete; tools clear throttles this way
		}
		return refuse(kerr.InvalidRequest, "a broker is configured in its configuration file, not over this protocol")
	case kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		if c.name == "" {
			return refuse(kerr.InvalidRequest, "the resource has no name")
		}
		if validateOnly {
			return nil
		}
	}
	return refuse(kerr.InvalidRequest, fmt.Sprintf("resource type %v has no configs here; alter topics or the broker's logger", c.kind))
}

// prepareTopic computes the resulting configs of a topic.
func (a *topicAdmin) prepareTopic(c *configChange) error {
	if c.name == "" {
		return refuse(kerr.InvalidRequest, "the topic has no name; there are no cluster-wide topic configs")
	}
	if err := topic.ValidateName(c.name); err != nil {
		return err
	}
	t, err := lookup.ByName(a.lookup.View(), c.name)
	if err != nil {
		return err
	}
	after := make(map[string]string, len(t.Configs)+len(c.ops))
	if !c.replace {
		maps.Copy(after, t.Configs)
	}
	for i := range c.ops {
		if err := c.ops[i].apply(after); err != nil {
			return err
		}
	}
	after, err = topic.NormalizeConfigs(after)
	if err != nil {
		return err
	}
	set, del := difference(t, after, c.ops)
	if len(set) > 0 || len(del) > 0 {
		c.do = func(ctx context.Context) error { return a.topics.AlterTopic(ctx, t.ID, set, del) }
	}
	return nil
}

// difference returns the configs to set and to delete to get from t to after. A config that ops
// sets is always set, even to its current value.
func difference(t *meta.Topic, after map[string]string, ops []configOp) (set map[string]string, del []string) {
	set = make(map[string]string, len(ops))
	for i := range ops {
		if value, there := after[ops[i].name]; there {
			set[ops[i].name] = value
		}
	}
	for name := range t.Configs {
		if _, kept := after[name]; !kept {
			del = append(del, name)
		}
	}
	slices.Sort(del)
	return set, del
}

// apply applies op to the configs of a topic. Unknown configs can be deleted.
func (op *configOp) apply(configs topic.Values) error {
	switch op.op {
	case kmsg.IncrementalAlterConfigOpDelete:
		delete(configs, op.name)
		return nil
	case kmsg.IncrementalAlterConfigOpSet:
		configs[op.name] = *op.value
		return nil
	}
	known, err := topic.LookupConfig(op.name)
	if err != nil {
		return err
	}
	if known.Kind != topic.List {
		return fmt.Errorf("%w: %s is not a list; it can only be set or deleted", topic.ErrInvalidConfig, op.name)
	}
	items, given := topic.SplitList(configs.Get(op.name)), strings.Split(*op.value, ",")
	there := make(map[string]bool, len(items)+len(given))
	for _, item := range items {
		there[item] = true
	}
	for _, g := range given {
		if op.op == kmsg.IncrementalAlterConfigOpAppend && !there[g] {
			items = append(items, g)
		}
		there[g] = op.op == kmsg.IncrementalAlterConfigOpAppend
	}
	if op.op == kmsg.IncrementalAlterConfigOpSubtract {
		items = slices.DeleteFunc(items, func(item string) bool { return !there[item] })
	}
	configs[op.name] = strings.Join(items, ",")
	return nil
}

// thisBroker checks that a resource name is this broker's id.
func thisBroker(node int32, name string) error {
	if name == strconv.Itoa(int(node)) {
		return nil
	}
	return refuse(kerr.InvalidRequest, fmt.Sprintf("this is broker %d; ask broker %q itself", node, name))
}

// checkBroker checks a config change of this broker, or of all brokers if the name is empty. As
// in Kafka, unknown configs may be set.
func (a *topicAdmin) checkBroker(c *configChange) error {
	if c.name != "" {
		if err := thisBroker(a.node, c.name); err != nil {
			return err
		}
	}
	known := brokerConfigs(&a.cfg, a.node)
	for i := range c.ops {
		op := &c.ops[i]
		at := slices.IndexFunc(known, func(k describedConfig) bool { return k.name == op.name })
		if at < 0 {
			continue
		}
		if known[at].fixed {
			return refuse(kerr.InvalidRequest, op.name+" cannot be altered while the broker runs")
		}
		if of := known[at].topicConfig; of != nil && op.op == kmsg.IncrementalAlterConfigOpSet {
			if _, err := of.Normalize(*op.value); err != nil {
				return refuse(kerr.InvalidRequest, err.Error())
			}
		}
	}
	return nil
}
