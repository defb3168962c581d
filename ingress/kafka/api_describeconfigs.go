package kafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/topic"
)

// describeConfigs serves DescribeConfigs for topics, for this broker, and for its logger.
func describeConfigs(cfg *APIConfig, d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DescribeConfigsRequest)
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		resp.Resources = make([]kmsg.DescribeConfigsResponseResource, len(req.Resources))
		for i := range req.Resources {
			asked, out := &req.Resources[i], &resp.Resources[i]
			out.ResourceType, out.ResourceName = asked.ResourceType, asked.ResourceName
			all, err := described(cfg, d, asked)
			if err != nil {
				out.ErrorCode, out.ErrorMessage = d.code(err), message(err)
				continue
			}
			out.ErrorMessage = new(string) // like Kafka
			out.Configs = selected(all, req, asked.ConfigNames)
		}
		return resp
	}
}

// describedConfig is one config before the request's filters apply.
type describedConfig struct {
	name, value string
	unset       bool // has no value of its own
	only        bool // has no synonyms, not even itself
	kind        topic.Kind
	doc         string
	readOnly    bool
	fixed       bool // read-only in Kafka too
	source      kmsg.ConfigSource
	fallbacks   []fallback    // where the value comes from if it is not set here
	topicConfig *topic.Config // the topic config whose broker-wide default this is
}

// fallback is a config from which another one takes its value if unset.
type fallback struct {
	name, value string
	source      kmsg.ConfigSource
}

func described(cfg *APIConfig, d *Deps, asked *kmsg.DescribeConfigsRequestResource) ([]describedConfig, error) {
	switch asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := topic.ValidateName(asked.ResourceName); err != nil {
			return nil, err
		}
		t, err := lookup.ByName(d.Lookup.View(), asked.ResourceName)
		if err != nil {
			return nil, err
		}
		return topicConfigs(t.Configs), nil
	case kmsg.ConfigResourceTypeBroker:
		if asked.ResourceName == "" {
			return nil, nil // cluster-wide dynamic configs: there are none
		}
		return brokerConfigs(cfg, d.Node), thisBroker(d.Node, asked.ResourceName)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return loggerConfigs(d.LogLevel), thisBroker(d.Node, asked.ResourceName)
	case kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics:
		if asked.ResourceName == "" {
			return nil, refuse(kerr.InvalidRequest, "the resource has no name")
		}
		return nil, nil // nothing can be set
	}
	return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("resource type %v has no configs here; ask for topics or brokers", asked.ResourceType))
}

func topicConfigs(set map[string]string) []describedConfig {
	all := topic.Configs()
	out := make([]describedConfig, len(all))
	for i := range all {
		c := &all[i]
		value, explicit := set[c.Name]
		out[i] = describedConfig{name: c.Name, value: value, kind: c.Kind, doc: c.Doc, source: kmsg.ConfigSourceDynamicTopicConfig}
		if c.Broker != "" && !c.Unset {
			out[i].fallbacks = []fallback{{c.Broker, c.Default, kmsg.ConfigSourceDefaultConfig}}
		}
		if !explicit {
			out[i].value, out[i].source = c.Default, kmsg.ConfigSourceDefaultConfig
		}
	}
	return out
}

// brokerConfigs lists the settings that Kafka's tools read from a broker, under Kafka's names.
// They are set in the broker's configuration file.
func brokerConfigs(cfg *APIConfig, node int32) []describedConfig {
	static := func(name, value string, kind topic.Kind, doc string) describedConfig {
		return describedConfig{name: name, value: value, kind: kind, doc: doc, readOnly: true, fixed: true, source: kmsg.ConfigSourceStaticBrokerConfig}
	}
	out := []describedConfig{
		static("auto.create.topics.enable", strconv.FormatBool(cfg.AutoCreateTopics), topic.Boolean, "Whether a Metadata request creates unknown topics."),
		static("broker.id", strconv.Itoa(int(node)), topic.Int, "The broker's id."),
		static("default.replication.factor", strconv.Itoa(int(cfg.Replication)), topic.Int, "Replication factor of topics created without one."),
		static("delete.topic.enable", "true", topic.Boolean, "Whether topics can be deleted."),
		static("node.id", strconv.Itoa(int(node)), topic.Int, "The broker's id."),
		static("num.partitions", strconv.Itoa(int(cfg.Partitions)), topic.Int, "Number of partitions of topics created without one."),
	}
	all := topic.Configs()
	for i := range all {
		c := &all[i]
		if c.Broker == "" {
			continue
		}
		b := describedConfig{name: c.Broker, value: c.Default, unset: c.Unset, kind: c.Kind, readOnly: true, topicConfig: c,
			source: kmsg.ConfigSourceDefaultConfig, doc: "Default of topic config " + c.Name + ". " + c.Doc}
		if !c.Unset {
			b.fallbacks = []fallback{{c.Broker, c.Default, kmsg.ConfigSourceDefaultConfig}}
		}
		out = append(out, b)
	}
	return out
}

// selected filters configs by names (all if nil) and by the request's version and flags.
func selected(all []describedConfig, req *kmsg.DescribeConfigsRequest, names []string) []kmsg.DescribeConfigsResponseResourceConfig {
	var wanted map[string]bool
	if len(names) > 0 {
		wanted = make(map[string]bool, len(names))
		for _, n := range names {
			wanted[n] = true
		}
	}
	out := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(all))
	for i := range all {
		c := &all[i]
		if wanted != nil && !wanted[c.name] {
			continue
		}
		shown := kmsg.NewDescribeConfigsResponseResourceConfig()
		shown.Name, shown.ReadOnly = c.name, c.readOnly
		if !c.unset {
			shown.Value = &c.value
		}
		shown.Source, shown.IsDefault = c.source, c.source == kmsg.ConfigSourceDefaultConfig
		shown.ConfigType = kmsg.ConfigType(c.kind)
		if req.IncludeSynonyms && !c.only {
			shown.ConfigSynonyms = synonyms(c)
		}
		if req.IncludeDocumentation {
			shown.Documentation = &c.doc
		} else if c.only {
			shown.Documentation = new(string) // like Kafka
		}
		out = append(out, shown)
	}
	return out
}

// synonyms lists the possible sources of the value, the effective one first (KIP-226).
func synonyms(c *describedConfig) []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	var out []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym
	add := func(name string, value *string, source kmsg.ConfigSource) {
		out = append(out, kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Name: name, Value: value, Source: source})
	}
	if c.source != kmsg.ConfigSourceDefaultConfig {
		add(c.name, &c.value, c.source)
	}
	for i := range c.fallbacks {
		add(c.fallbacks[i].name, &c.fallbacks[i].value, c.fallbacks[i].source)
	}
	return out
}
