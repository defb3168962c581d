package kafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// describeConfigs serves DescribeConfigs for topics, for this broker, and for its logger. A
// topic's configs take some hundred times what its name takes in the request, so each is
// described when it is written.
func describeConfigs(cfg *APIConfig, d *Deps) handlerOf {
	return func(_ context.Context, r *Request, reply func(Response)) {
		req := r.Body.(*kmsg.DescribeConfigsRequest)
		w := &configsWriter{cfg: cfg, node: d.Node, level: levelName(d.LogLevel.Level()), req: req,
			found: make([]foundConfigs, len(req.Resources))}
		for i := range req.Resources {
			f := &w.found[i]
			f.set, f.err = w.find(d.Lookup.View(), &req.Resources[i])
			f.code = d.code(f.err)
		}
		reply(Response{parts: w.parts(r.Version)})
	}
}

// configsWriter describes the configs of resources that were found.
type configsWriter struct {
	cfg   *APIConfig
	node  int32
	level string // of the logger
	req   *kmsg.DescribeConfigsRequest
	found []foundConfigs
}

// foundConfigs is what a resource is described by.
type foundConfigs struct {
	set  map[string]string // of a topic, never changed
	err  error
	code int16
}

// fewConfigs is how many resources are described without a place among the requests that name much.
const fewConfigs = 8

// configsHeld is what a resource takes of memory beside the request until it is answered.
const configsHeld = 64

// parts has a row for each resource: after throttle_time_ms, and before the tags of version 4.
func (w *configsWriter) parts(version int16) *parts {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	resp.SetVersion(version)
	a := &parts{head: make([]byte, 4), compact: resp.IsFlexible(), rows: len(w.found), held: configsHeld * int64(len(w.found)), heavy: len(w.found) > fewConfigs}
	if a.compact {
		a.tail = []byte{0}
	}
	a.row = func(i int, to []byte) []byte {
		resp.Resources = []kmsg.DescribeConfigsResponseResource{w.resource(i)}
		return rowOf(resp, len(a.head), len(a.tail), to)
	}
	return a
}

func (w *configsWriter) resource(i int) kmsg.DescribeConfigsResponseResource {
	asked, found := &w.req.Resources[i], &w.found[i]
	out := kmsg.NewDescribeConfigsResponseResource()
	out.ResourceType, out.ResourceName = asked.ResourceType, asked.ResourceName
	if found.err != nil {
		out.ErrorCode, out.ErrorMessage = found.code, message(found.err)
		return out
	}
	out.ErrorMessage = new(string) // Kafka has it, too
	out.Configs = selected(w.described(asked, found.set), w.req, asked.ConfigNames)
	return out
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

// find looks whether a resource can be described, and returns what is set for a topic.
func (w *configsWriter) find(view *meta.View, asked *kmsg.DescribeConfigsRequestResource) (map[string]string, error) {
	switch asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := topic.ValidateName(asked.ResourceName); err != nil {
			return nil, err
		}
		t, err := lookup.ByName(view, asked.ResourceName)
		if err != nil {
			return nil, err
		}
		return t.Configs, nil
	case kmsg.ConfigResourceTypeBroker:
		if asked.ResourceName == "" {
			return nil, nil // cluster-wide dynamic configs: there are none
		}
		return nil, thisBroker(w.node, asked.ResourceName)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return nil, thisBroker(w.node, asked.ResourceName)
	case kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics:
		if asked.ResourceName == "" {
			return nil, refuse(kerr.InvalidRequest, "the resource has no name")
		}
		return nil, nil
	}
	return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("resource type %v has no configs here; ask for topics or brokers", asked.ResourceType))
}

// described returns the configs of a resource that was found. Nothing can be set for a group, or at
// run time for all brokers.
func (w *configsWriter) described(asked *kmsg.DescribeConfigsRequestResource, set map[string]string) []describedConfig {
	switch {
	case asked.ResourceType == kmsg.ConfigResourceTypeTopic:
		return topicConfigs(set)
	case asked.ResourceType == kmsg.ConfigResourceTypeBroker && asked.ResourceName != "":
		return brokerConfigs(w.cfg, w.node)
	case asked.ResourceType == kmsg.ConfigResourceTypeBrokerLogger:
		return loggerConfigs(w.level)
	}
	return nil
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
		if c.Name == topic.MinInsyncReplicas && cfg.MinInSyncReplicas > 1 {
			b.value, b.source = strconv.Itoa(int(cfg.MinInSyncReplicas)), kmsg.ConfigSourceStaticBrokerConfig
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
