package kafka

import (
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func describe(c *cluster, change func(*kmsg.DescribeConfigsRequest), kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsResponseResource {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
	if change != nil {
		change(req)
	}
	return call[*kmsg.DescribeConfigsResponse](c, req).Resources[0]
}

func TestDescribeConfigsOfATopic(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	if err := c.AlterTopic(t.Context(), orders.ID, map[string]string{topic.RetentionMs: "1000"}, nil); err != nil {
		t.Fatal(err)
	}
	all := describe(c, nil, kmsg.ConfigResourceTypeTopic, "orders")
	if all.ErrorCode != 0 || len(all.Configs) != len(topic.Configs()) {
		t.Fatalf("all: %+v", all)
	}
	two := describe(c, func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms, r.IncludeDocumentation = true, true },
		kmsg.ConfigResourceTypeTopic, "orders", topic.RetentionMs, topic.CleanupPolicy, "no.such").Configs
	if len(two) != 2 {
		t.Fatalf("two by name: %+v", two)
	}
	policy, retention := two[0], two[1]
	if *retention.Value != "1000" || retention.IsDefault || retention.Source != kmsg.ConfigSourceDynamicTopicConfig ||
		retention.ConfigType != kmsg.ConfigTypeLong || retention.ReadOnly || *retention.Documentation == "" {
		t.Errorf("set: %+v", retention)
	}
	if s := retention.ConfigSynonyms; len(s) != 2 || s[0].Name != topic.RetentionMs || *s[0].Value != "1000" || s[1].Name != "log.retention.ms" ||
		*s[1].Value != "604800000" || s[1].Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("synonyms: %+v", s)
	}
	if *policy.Value != "delete" || policy.Source != kmsg.ConfigSourceDefaultConfig || policy.ConfigType != kmsg.ConfigTypeList || len(policy.ConfigSynonyms) != 1 {
		t.Errorf("default: %+v", policy)
	}
	plain := describe(c, nil, kmsg.ConfigResourceTypeTopic, "orders", topic.RetentionMs).Configs[0]
	if len(plain.ConfigSynonyms) > 0 || plain.Documentation != nil {
		t.Errorf("not asked for: %+v", plain)
	}
}

func TestDescribeConfigsOfBrokersAndOthers(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics, cfg.Partitions = true, 7 })
	got := describe(c, nil, kmsg.ConfigResourceTypeBroker, "1", "num.partitions", "auto.create.topics.enable", "message.max.bytes").Configs
	values := make(map[string]string)
	for _, g := range got {
		values[g.Name] = *g.Value
		if !g.ReadOnly {
			t.Errorf("%s looks as if it could be altered", g.Name)
		}
	}
	if want := map[string]string{"num.partitions": "7", "auto.create.topics.enable": "true", "message.max.bytes": "1048588"}; !maps.Equal(values, want) {
		t.Errorf("got %v", values)
	}
	if r := describe(c, nil, kmsg.ConfigResourceTypeBroker, ""); r.ErrorCode != 0 || len(r.Configs) != 0 {
		t.Errorf("defaults of all brokers: %+v", r)
	}
	for _, tt := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want *kerr.Error
	}{
		{kmsg.ConfigResourceTypeBroker, "2", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "one", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeTopic, "none", kerr.UnknownTopicOrPartition},
		{kmsg.ConfigResourceTypeTopic, "no/slash", kerr.InvalidTopicException},
	} {
		wantCode(t, tt.name, describe(c, nil, tt.kind, tt.name).ErrorCode, tt.want)
	}
}

func TestIncrementalAlterConfigs(t *testing.T) {
	type op = kmsg.IncrementalAlterConfigsRequestResourceConfig
	const set, del, add, sub = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	for _, tt := range []struct {
		what string
		ops  []op
		want *kerr.Error
		now  map[string]string // instead of the configs before
	}{
		{"set", []op{{Name: topic.RetentionBytes, Op: set, Value: ptr("5")}}, nil, map[string]string{topic.RetentionMs: "1000", topic.RetentionBytes: "5"}},
		{"delete", []op{{Name: topic.RetentionMs, Op: del}}, nil, map[string]string{}},
		{"delete what is not set", []op{{Name: topic.RetentionBytes, Op: del}}, nil, nil},
		{"append to a default", []op{{Name: topic.CleanupPolicy, Op: add, Value: ptr("compact,delete")}}, nil,
			map[string]string{topic.RetentionMs: "1000", topic.CleanupPolicy: "delete,compact"}},
		{"subtract all", []op{{Name: topic.CleanupPolicy, Op: sub, Value: ptr("delete")}}, kerr.InvalidConfig, nil},
		{"subtract what is not there", []op{{Name: topic.CleanupPolicy, Op: sub, Value: ptr("compact")}}, nil,
			map[string]string{topic.RetentionMs: "1000", topic.CleanupPolicy: "delete"}},
		{"append to a number", []op{{Name: topic.RetentionMs, Op: add, Value: ptr("1")}}, kerr.InvalidConfig, nil},
		{"no value", []op{{Name: topic.RetentionMs, Op: set}}, kerr.InvalidConfig, nil},
		{"twice", []op{{Name: topic.RetentionMs, Op: del}, {Name: topic.RetentionMs, Op: set, Value: ptr("1")}}, kerr.InvalidRequest, nil},
		{"unknown", []op{{Name: "retention", Op: del}}, kerr.InvalidConfig, nil},
		{"unknown operation", []op{{Name: topic.CleanupPolicy, Op: 9, Value: ptr("compact")}}, kerr.InvalidRequest, nil},
		{"against another", []op{{Name: topic.LocalRetentionMs, Op: set, Value: ptr("1001")}}, kerr.InvalidConfig, nil},
		{"together with another", []op{{Name: topic.LocalRetentionMs, Op: set, Value: ptr("1001")}, {Name: topic.RetentionMs, Op: set, Value: ptr("2000")}}, nil,
			map[string]string{topic.RetentionMs: "2000", topic.LocalRetentionMs: "1001"}},
	} {
		c := newCluster(t, nil)
		orders := c.topic("orders", 1)
		before := map[string]string{topic.RetentionMs: "1000"}
		if err := c.AlterTopic(t.Context(), orders.ID, before, nil); err != nil {
			t.Fatal(err)
		}
		ask := func(dry bool) int16 {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.Version, req.ValidateOnly = 1, dry
			req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", Configs: tt.ops}}
			return call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0].ErrorCode
		}
		wantCode(t, tt.what+", validated only", ask(true), tt.want)
		if now := configsOf(c, "orders"); !maps.Equal(now, before) {
			t.Errorf("%s: validation changed it to %v", tt.what, now)
		}
		wantCode(t, tt.what, ask(false), tt.want)
		want := tt.now
		if want == nil {
			want = before
		}
		if now := configsOf(c, "orders"); !maps.Equal(now, want) {
			t.Errorf("%s: got %v, want %v", tt.what, now, want)
		}
	}
}

func configsOf(c *cluster, name string) map[string]string {
	t, _ := c.View().TopicByName(name)
	return t.Configs
}

func TestAlterConfigsReplacesAll(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	if err := c.AlterTopic(t.Context(), orders.ID, map[string]string{topic.RetentionMs: "1000", topic.RetentionBytes: "5"}, nil); err != nil {
		t.Fatal(err)
	}
	type config = kmsg.AlterConfigsRequestResourceConfig
	ask := func(configs ...config) int16 {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.Version = 2
		req.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", Configs: configs}}
		return call[*kmsg.AlterConfigsResponse](c, req).Resources[0].ErrorCode
	}
	wantCode(t, "replaced", ask(config{Name: topic.RetentionMs, Value: ptr("7")}, config{Name: topic.CleanupPolicy, Value: ptr("compact")}), nil)
	if now := configsOf(c, "orders"); !maps.Equal(now, map[string]string{topic.RetentionMs: "7", topic.CleanupPolicy: "compact"}) {
		t.Errorf("now %v", now)
	}
	wantCode(t, "twice", ask(config{Name: topic.RetentionMs, Value: ptr("7")}, config{Name: topic.RetentionMs, Value: ptr("8")}), kerr.InvalidRequest)
	wantCode(t, "bad", ask(config{Name: topic.RetentionMs, Value: ptr("-7")}), kerr.InvalidConfig)
	wantCode(t, "no value", ask(config{Name: topic.RetentionMs, Value: nil}), kerr.InvalidConfig)
}

func TestWhatElseCannotBeAltered(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("orders", 1)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	change := []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: topic.RetentionMs, Value: ptr("1")}}
	for _, r := range []resource{{kmsg.ConfigResourceTypeTopic, "orders"}, {kmsg.ConfigResourceTypeTopic, "orders"}, {kmsg.ConfigResourceTypeBroker, "1"},
		{kmsg.ConfigResourceTypeGroupConfig, "g"}, {kmsg.ConfigResourceTypeTopic, "none"}} {
		req.Resources = append(req.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: r.kind, ResourceName: r.name, Configs: change})
	}
	got := call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources
	for i, want := range []*kerr.Error{nil, kerr.InvalidRequest, kerr.InvalidRequest, kerr.InvalidRequest, kerr.UnknownTopicOrPartition} {
		wantCode(t, got[i].ResourceName, got[i].ErrorCode, want)
	}
	c.failing = meta.ErrUnavailable
	req.Resources = req.Resources[:1]
	wantCode(t, "no quorum", call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0].ErrorCode, kerr.RequestTimedOut)
}
