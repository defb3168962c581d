//go:build oracle

package oracle

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// tried is a config of topics with values that Kafka takes and others.
type tried struct {
	name   string
	values []string
}

var topicConfigs = []tried{
	{"cleanup.policy", []string{"delete", "compact", "compact,delete", "delete,compact", "", "DELETE", "foo", "delete,delete", " compact ", "compact, delete", "delete,foo", ","}},
	{"compression.type", []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd", "none", "GZIP", ""}},
	{"compression.gzip.level", []string{"-1", "0", "1", "9", "10"}},
	{"compression.lz4.level", []string{"0", "1", "17", "18"}},
	{"compression.zstd.level", []string{"-131073", "-131072", "3", "22", "23"}},
	{"delete.retention.ms", []string{"-1", "0", "1", " 5 "}},
	{"errors.deadletterqueue.group.enable", []string{"true", "false"}},
	{"file.delete.delay.ms", []string{"-1", "0", "60000"}},
	{"flush.messages", []string{"0", "1", "9223372036854775807"}},
	{"flush.ms", []string{"-1", "0", "1"}},
	{"follower.replication.throttled.replicas", []string{"", "*", "0:1", "0:1,1:1", "foo", "0:1,", "none"}},
	{"index.interval.bytes", []string{"-1", "0", "1", "4096"}},
	{"leader.replication.throttled.replicas", []string{"", "*", "0:1", "foo"}},
	{"local.retention.bytes", []string{"-3", "-2", "-1", "0", "100"}},
	{"local.retention.ms", []string{"-3", "-2", "-1", "0", "700000000", "9223372036854775807"}},
	{"max.compaction.lag.ms", []string{"-1", "0", "1", "1000"}},
	{"max.decompressed.message.bytes", []string{"-1", "0", "1", "1000", "2147483647"}},
	{"max.message.bytes", []string{"-1", "0", "1", "2147483647", "2147483648"}},
	{"message.downconversion.enable", []string{"true"}},
	{"message.format.version", []string{"2.0"}},
	{"message.timestamp.after.max.ms", []string{"-1", "0", "3600000", "9223372036854775807"}},
	{"message.timestamp.before.max.ms", []string{"-1", "0", "3600000"}},
	{"message.timestamp.difference.max.ms", []string{"1000"}},
	{"message.timestamp.type", []string{"CreateTime", "LogAppendTime", "createtime", ""}},
	{"min.cleanable.dirty.ratio", []string{"-0.1", "0", "0.5", "1", "1.1", ".5", "5e-1", "0.5f", "NaN", "x"}},
	{"min.compaction.lag.ms", []string{"-1", "0", "1000"}},
	{"min.insync.replicas", []string{"0", "1", "2", "-1"}},
	{"preallocate", []string{"true", "false", "TRUE", "False", " true ", "yes", "1", ""}},
	{"remote.copy.lag.bytes", []string{"-2", "-1", "0", "100"}},
	{"remote.copy.lag.ms", []string{"-2", "-1", "0", "100"}},
	{"remote.log.copy.disable", []string{"true", "false"}},
	{"remote.log.delete.on.disable", []string{"true", "false"}},
	{"remote.storage.enable", []string{"true", "false"}},
	{"retention.bytes", []string{"-2", "-1", "0", "1000"}},
	{"retention.ms", []string{"-2", "-1", "0", "1000", " 1000 ", "+5", "1e3", "0x10", "1_000", "abc", "", "1.0", "9223372036854775807", "9223372036854775808"}},
	{"segment.bytes", []string{"0", "14", "1000", "1048575", "1048576", "2147483647", "2147483648"}},
	{"segment.index.bytes", []string{"3", "4", "10485760"}},
	{"segment.jitter.ms", []string{"-1", "0", "1"}},
	{"segment.ms", []string{"0", "1", "604800000"}},
	{"unclean.leader.election.enable", []string{"true", "false"}},
	{"no.such.config", []string{"1"}},
	{"Retention.ms", []string{"1"}},
	{"retention.msx", []string{"1"}},
	{"", []string{"1"}},
}

// configPairs are settings that constrain each other.
var configPairs = [][]string{
	{"retention.ms", "1000", "local.retention.ms", "2000"},
	{"retention.bytes", "1000", "local.retention.bytes", "2000"},
	{"min.compaction.lag.ms", "1000", "max.compaction.lag.ms", "500"},
	{"segment.ms", "1000", "segment.jitter.ms", "2000"},
	{"cleanup.policy", "compact", "remote.storage.enable", "true"},
	{"cleanup.policy", "compact", "retention.ms", "1"},
	{"remote.log.copy.disable", "true", "remote.storage.enable", "false"},
}

func configScenarios() []scenario {
	return []scenario{
		{"describe-configs", 32, describeConfigs},
		{"alter-configs", 33, alterConfigs},
		{"incremental-configs", 44, incrementalConfigs},
		{"incremental-configs-values", 44, incrementalValues},
		{"incremental-configs-resources", 44, incrementalResources},
	}
}

func describe(kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
	return req
}

func describeConfigs(p *play) {
	topic, _ := p.topic("t", 1)
	set, _ := p.topic("set", 1, "retention.ms", "1000", "cleanup.policy", "compact", "max.message.bytes", "2000")
	p.do("all", describe(kmsg.ConfigResourceTypeTopic, topic))
	p.do("all of one that has some", describe(kmsg.ConfigResourceTypeTopic, set))
	p.do("one", describe(kmsg.ConfigResourceTypeTopic, set, "retention.ms"))
	p.do("one twice", describe(kmsg.ConfigResourceTypeTopic, set, "retention.ms", "retention.ms"))
	p.do("unknown", describe(kmsg.ConfigResourceTypeTopic, set, "no.such.config", "retention.ms"))
	empty := describe(kmsg.ConfigResourceTypeTopic, set)
	empty.Resources[0].ConfigNames = []string{}
	p.do("an empty list", empty)
	plain := describe(kmsg.ConfigResourceTypeTopic, set)
	plain.IncludeSynonyms = false
	p.do("without synonyms", plain)
	documented := describe(kmsg.ConfigResourceTypeTopic, set, "retention.ms")
	documented.IncludeDocumentation = true
	p.do("documentation", documented)
	p.do("unknown topic", describe(kmsg.ConfigResourceTypeTopic, p.name("nobody")))
	p.do("bad name", describe(kmsg.ConfigResourceTypeTopic, "a b"))
	p.do("empty name", describe(kmsg.ConfigResourceTypeTopic, ""))
	p.do("broker", describe(kmsg.ConfigResourceTypeBroker, "1"))
	p.do("some of a broker", describe(kmsg.ConfigResourceTypeBroker, "1", "log.retention.ms", "num.partitions", "message.max.bytes", "default.replication.factor"))
	p.do("every broker", describe(kmsg.ConfigResourceTypeBroker, ""))
	p.do("another broker", describe(kmsg.ConfigResourceTypeBroker, "7"))
	p.do("broker that is no number", describe(kmsg.ConfigResourceTypeBroker, "x"))
	p.do("logger", describe(kmsg.ConfigResourceTypeBrokerLogger, "1", "kafka.server.KafkaApis"))
	p.do("root logger", describe(kmsg.ConfigResourceTypeBrokerLogger, "1", "root"))
	p.do("logger of another", describe(kmsg.ConfigResourceTypeBrokerLogger, "7"))
	p.do("logger of nobody", describe(kmsg.ConfigResourceTypeBrokerLogger, ""))
	p.do("group without a name", describe(kmsg.ConfigResourceTypeGroupConfig, ""))
	p.do("client metrics without a name", describe(kmsg.ConfigResourceTypeClientMetrics, ""))
	p.do("group", describe(kmsg.ConfigResourceTypeGroupConfig, p.name("g")))
	p.do("client metrics", describe(kmsg.ConfigResourceTypeClientMetrics, p.name("m")))
	p.do("type 0", describe(0, "x"))
	p.do("type 99", describe(99, "x"))
	twice := describe(kmsg.ConfigResourceTypeTopic, set, "retention.ms")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	p.do("resource twice", twice)
	none := describe(kmsg.ConfigResourceTypeTopic, set)
	none.Resources = []kmsg.DescribeConfigsRequestResource{}
	p.do("no resources", none)
}

// shown records a topic's configs once they differ from before, or after a second: an
// acknowledged change becomes visible with a short delay.
func (p *play) shown(step, topic string, before string, keys ...string) (after string) {
	p.t.Helper()
	p.settle(topic, before, keys...)
	resp := p.do(step, describe(kmsg.ConfigResourceTypeTopic, topic, keys...))
	return values(resp)
}

func (p *play) settle(topic, before string, keys ...string) {
	p.t.Helper()
	end := time.Now().Add(time.Second)
	p.until(describe(kmsg.ConfigResourceTypeTopic, topic, keys...), func(r kmsg.Response) bool {
		return values(r) != before || time.Now().After(end)
	})
}

func values(resp kmsg.Response) string {
	var b strings.Builder
	r, ok := resp.(*kmsg.DescribeConfigsResponse)
	if !ok {
		return ""
	}
	for _, c := range r.Resources[0].Configs {
		if c.Value != nil {
			fmt.Fprintf(&b, "%s=%s (%d)\n", c.Name, *c.Value, c.Source)
		}
	}
	return b.String()
}

func alterConfigs(p *play) {
	topic, _ := p.topic("t", 1, "retention.ms", "1000", "segment.ms", "5000")
	keys := []string{"retention.ms", "segment.ms", "cleanup.policy"}
	ask := func(step string, validate bool, kind kmsg.ConfigResourceType, name string, pairs ...string) {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.ValidateOnly = validate
		r := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
		for i := 0; i < len(pairs); i += 2 {
			r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: pairs[i], Value: &pairs[i+1]})
		}
		req.Resources = append(req.Resources, r)
		p.do(step, req)
	}
	at := p.shown("before", topic, "", keys...)
	ask("validated", true, kmsg.ConfigResourceTypeTopic, topic, "retention.ms", "7777")
	ask("set", false, kmsg.ConfigResourceTypeTopic, topic, "retention.ms", "2000")
	at = p.shown("set > shown", topic, at, keys...)
	ask("bad value", false, kmsg.ConfigResourceTypeTopic, topic, "retention.ms", "x")
	ask("unknown key", false, kmsg.ConfigResourceTypeTopic, topic, "no.such.config", "x")
	ask("key twice", false, kmsg.ConfigResourceTypeTopic, topic, "retention.ms", "1", "retention.ms", "2")
	at = p.shown("key twice > shown", topic, at, keys...)
	ask("nothing", false, kmsg.ConfigResourceTypeTopic, topic)
	p.shown("nothing > shown", topic, at, keys...)
	ask("unknown topic", false, kmsg.ConfigResourceTypeTopic, p.name("nobody"), "retention.ms", "1")
	ask("bad name", false, kmsg.ConfigResourceTypeTopic, "a b", "retention.ms", "1")
	ask("another broker", false, kmsg.ConfigResourceTypeBroker, "7", "log.retention.ms", "1000")
	ask("broker, validated", true, kmsg.ConfigResourceTypeBroker, "1", "log.retention.ms", "1000")
	ask("logger", true, kmsg.ConfigResourceTypeBrokerLogger, "1", "root", "WARN")
	ask("group", true, kmsg.ConfigResourceTypeGroupConfig, p.name("g"), "consumer.session.timeout.ms", "45000")
	ask("client metrics", true, kmsg.ConfigResourceTypeClientMetrics, p.name("m"), "interval.ms", "1000")
	ask("empty name", false, kmsg.ConfigResourceTypeTopic, "", "retention.ms", "1")
	ask("type 99", false, 99, "x", "retention.ms", "1")
	null := kmsg.NewPtrAlterConfigsRequest()
	null.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: topic, Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms"}}}}
	p.do("null value", null)
}

type change struct {
	key   string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

func incremental(kind kmsg.ConfigResourceType, name string, changes ...change) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
	for _, c := range changes {
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: c.key, Op: c.op, Value: c.value})
	}
	req.Resources = append(req.Resources, r)
	return req
}

func set(key, value string) change { return change{key, kmsg.IncrementalAlterConfigOpSet, &value} }

func incrementalConfigs(p *play) {
	topic, _ := p.topic("t", 1, "retention.ms", "1000")
	keys := []string{"retention.ms", "segment.ms", "cleanup.policy"}
	at := p.shown("before", topic, "", keys...)
	altered := func(step string, changes ...change) {
		p.do(step, incremental(kmsg.ConfigResourceTypeTopic, topic, changes...))
		at = p.shown(step+" > shown", topic, at, keys...)
	}
	only := func(step string, changes ...change) {
		p.do(step, incremental(kmsg.ConfigResourceTypeTopic, topic, changes...))
	}
	del := func(key string) change { return change{key, kmsg.IncrementalAlterConfigOpDelete, nil} }
	appended := func(key, v string) change { return change{key, kmsg.IncrementalAlterConfigOpAppend, &v} }
	removed := func(key, v string) change { return change{key, kmsg.IncrementalAlterConfigOpSubtract, &v} }
	altered("set", set("retention.ms", "2000"))
	altered("set two", set("retention.ms", "3000"), set("segment.ms", "4000"))
	altered("delete", del("retention.ms"))
	only("delete what is not set", del("retention.ms"))
	only("delete an unknown key", del("no.such.config"))
	altered("append", appended("cleanup.policy", "compact"))
	only("append what is there", appended("cleanup.policy", "compact"))
	altered("subtract", removed("cleanup.policy", "delete"))
	only("subtract what is not there", removed("cleanup.policy", "delete"))
	altered("subtract the last", removed("cleanup.policy", "compact"))
	only("append to a number", appended("retention.ms", "1"))
	only("subtract from a number", removed("retention.ms", "1"))
	only("append an unknown value", appended("cleanup.policy", "foo"))
	only("append nothing", appended("cleanup.policy", ""))
	altered("append with blanks", appended("cleanup.policy", " compact , delete"))
	altered("subtract with blanks", removed("cleanup.policy", " compact"))
	only("subtract from an unknown key", removed("no.such.config", "1"))
	only("set null", change{"retention.ms", 0, nil})
	only("append null", change{"cleanup.policy", 2, nil})
	only("operation 7", change{"retention.ms", 7, kmsg.StringPtr("1")})
	only("unknown key", set("no.such.config", "1"))
	only("bad value", set("retention.ms", "x"))
	only("one of two is bad", set("segment.ms", "777"), set("retention.ms", "x"))
	only("key twice", set("retention.ms", "1"), set("retention.ms", "2"))
	only("set and delete", set("retention.ms", "1"), del("retention.ms"))
	only("nothing")
	p.do("in the end", describe(kmsg.ConfigResourceTypeTopic, topic, keys...))
}

// incrementalValues sets each value of each config, describes it, and reverts it.
func incrementalValues(p *play) {
	topic, _ := p.topic("t", 1)
	for _, c := range topicConfigs {
		for _, v := range c.values {
			step := c.name + "=" + v
			before := values(p.until(describe(kmsg.ConfigResourceTypeTopic, topic, c.name), func(kmsg.Response) bool { return true }))
			r, ok := p.do(step, incremental(kmsg.ConfigResourceTypeTopic, topic, set(c.name, v))).(*kmsg.IncrementalAlterConfigsResponse)
			if !ok || r.Resources[0].ErrorCode != 0 {
				continue
			}
			at := p.shown(step+" > shown", topic, before, c.name)
			p.until(incremental(kmsg.ConfigResourceTypeTopic, topic, change{c.name, kmsg.IncrementalAlterConfigOpDelete, nil}), func(kmsg.Response) bool { return true })
			p.settle(topic, at, c.name)
		}
	}
}

func incrementalResources(p *play) {
	topic, _ := p.topic("t", 1)
	ask := func(step string, kind kmsg.ConfigResourceType, name string, changes ...change) {
		req := incremental(kind, name, changes...)
		req.ValidateOnly = true
		p.do(step, req)
	}
	ask("validated", kmsg.ConfigResourceTypeTopic, topic, set("retention.ms", "5"))
	ask("unknown topic", kmsg.ConfigResourceTypeTopic, p.name("nobody"), set("retention.ms", "5"))
	ask("bad name", kmsg.ConfigResourceTypeTopic, "a b", set("retention.ms", "5"))
	ask("empty name", kmsg.ConfigResourceTypeTopic, "", set("retention.ms", "5"))
	ask("broker", kmsg.ConfigResourceTypeBroker, "1", set("log.retention.ms", "100000"))
	ask("every broker", kmsg.ConfigResourceTypeBroker, "", set("log.retention.ms", "100000"))
	ask("another broker", kmsg.ConfigResourceTypeBroker, "7", set("log.retention.ms", "100000"))
	ask("broker, unknown key", kmsg.ConfigResourceTypeBroker, "1", set("no.such.config", "1"))
	ask("broker, key that is fixed", kmsg.ConfigResourceTypeBroker, "1", set("node.id", "1"))
	ask("logger", kmsg.ConfigResourceTypeBrokerLogger, "1", set("kafka.server.KafkaApis", "WARN"))
	ask("broker, bad value", kmsg.ConfigResourceTypeBroker, "1", set("log.retention.ms", "x"))
	ask("broker, null", kmsg.ConfigResourceTypeBroker, "1", change{"log.retention.ms", 0, nil})
	ask("broker, deleted", kmsg.ConfigResourceTypeBroker, "1", change{"log.retention.ms", kmsg.IncrementalAlterConfigOpDelete, nil})
	ask("root logger", kmsg.ConfigResourceTypeBrokerLogger, "1", set("root", "WARN"))
	ask("root logger, lower case", kmsg.ConfigResourceTypeBrokerLogger, "1", set("root", "warn"))
	ask("root logger, bad level", kmsg.ConfigResourceTypeBrokerLogger, "1", set("root", "LOUD"))
	ask("root logger, removed", kmsg.ConfigResourceTypeBrokerLogger, "1", change{"root", kmsg.IncrementalAlterConfigOpDelete, nil})
	ask("root logger, appended", kmsg.ConfigResourceTypeBrokerLogger, "1", change{"root", kmsg.IncrementalAlterConfigOpAppend, kmsg.StringPtr("WARN")})
	ask("root logger, null", kmsg.ConfigResourceTypeBrokerLogger, "1", change{"root", 0, nil})
	ask("logger of another", kmsg.ConfigResourceTypeBrokerLogger, "7", set("root", "WARN"))
	ask("logger of nobody", kmsg.ConfigResourceTypeBrokerLogger, "", set("root", "WARN"))
	logger := incremental(kmsg.ConfigResourceTypeBrokerLogger, "1", set("root", "WARN"))
	p.do("root logger, altered", logger)
	p.do("root logger, altered > shown", describe(kmsg.ConfigResourceTypeBrokerLogger, "1", "root"))
	ask("group without a name", kmsg.ConfigResourceTypeGroupConfig, "", set("consumer.session.timeout.ms", "45000"))
	ask("client metrics without a name", kmsg.ConfigResourceTypeClientMetrics, "", set("interval.ms", "1000"))
	ask("group", kmsg.ConfigResourceTypeGroupConfig, p.name("g"), set("consumer.session.timeout.ms", "45000"))
	ask("client metrics", kmsg.ConfigResourceTypeClientMetrics, p.name("m"), set("interval.ms", "1000"))
	ask("type 0", 0, "x", set("a", "1"))
	ask("type 99", 99, "x", set("a", "1"))
	twice := incremental(kmsg.ConfigResourceTypeTopic, topic, set("retention.ms", "5"))
	twice.Resources = append(twice.Resources, twice.Resources[0])
	p.do("resource twice", twice)
	p.do("as it was", describe(kmsg.ConfigResourceTypeTopic, topic, "retention.ms"))
	none := incremental(kmsg.ConfigResourceTypeTopic, topic)
	none.Resources = []kmsg.IncrementalAlterConfigsRequestResource{}
	p.do("no resources", none)
}
