package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
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
	// Kafka's default is log.retention.hours, so log.retention.ms is not a synonym.
	if s := retention.ConfigSynonyms; len(s) != 1 || s[0].Name != topic.RetentionMs || *s[0].Value != "1000" {
		t.Errorf("synonyms: %+v", s)
	}
	if s := policy.ConfigSynonyms; len(s) != 1 || s[0].Name != "log.cleanup.policy" || *s[0].Value != "delete" || s[0].Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("synonyms: %+v", s)
	}
	if *policy.Value != "delete" || policy.Source != kmsg.ConfigSourceDefaultConfig || policy.ConfigType != kmsg.ConfigTypeList || len(policy.ConfigSynonyms) != 1 {
		t.Errorf("default: %+v", policy)
	}
	none := describe(c, func(r *kmsg.DescribeConfigsRequest) { r.Resources[0].ConfigNames = []string{} }, kmsg.ConfigResourceTypeTopic, "orders")
	if len(none.Configs) != len(topic.Configs()) || none.ErrorMessage == nil || *none.ErrorMessage != "" {
		t.Errorf("no keys: %d configs, message %v", len(none.Configs), none.ErrorMessage)
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
			t.Errorf("%s is shown as alterable", g.Name)
		}
	}
	if want := map[string]string{"num.partitions": "7", "auto.create.topics.enable": "true", "message.max.bytes": "1048588"}; !maps.Equal(values, want) {
		t.Errorf("got %v", values)
	}
	for kind, name := range map[kmsg.ConfigResourceType]string{kmsg.ConfigResourceTypeBroker: "", kmsg.ConfigResourceTypeGroupConfig: "g",
		kmsg.ConfigResourceTypeClientMetrics: "m"} {
		if r := describe(c, nil, kind, name); r.ErrorCode != 0 || len(r.Configs) != 0 {
			t.Errorf("%v %q: %+v", kind, name, r)
		}
	}
	synonyms := describe(c, func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms = true }, kmsg.ConfigResourceTypeBroker, "1", "log.retention.ms", "num.partitions").Configs
	if len(synonyms) != 2 || *synonyms[0].Value != "7" || len(synonyms[0].ConfigSynonyms) != 1 || synonyms[1].Value != nil || len(synonyms[1].ConfigSynonyms) != 0 {
		t.Errorf("synonyms of a broker's configs: %+v", synonyms)
	}
	for _, tt := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want *kerr.Error
	}{
		{kmsg.ConfigResourceTypeBroker, "2", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "one", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", nil},
		{kmsg.ConfigResourceTypeBrokerLogger, "2", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeGroupConfig, "", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeClientMetrics, "", kerr.InvalidRequest},
		{99, "x", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeTopic, "none", kerr.UnknownTopicOrPartition},
		{kmsg.ConfigResourceTypeTopic, "no/slash", kerr.InvalidTopicException},
	} {
		wantCode(t, tt.name, describe(c, nil, tt.kind, tt.name).ErrorCode, tt.want)
	}
}

// A default of min.insync.replicas is a config of topics that are created without one.
func TestDefaultOfMinInsyncReplicas(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics, cfg.Replication, cfg.MinInSyncReplicas = true, 3, 2 })
	created := call[*kmsg.CreateTopicsResponse](c, create(7, creation("plain", nil), creation("own", func(t *kmsg.CreateTopicsRequestTopic) {
		t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: topic.MinInsyncReplicas, Value: ptr("1")}}
	})))
	call[*kmsg.MetadataResponse](c, metadataOf(3, "automatic"))
	for i, want := range []string{"2", "1"} {
		for _, got := range created.Topics[i].Configs {
			if got.Name == topic.MinInsyncReplicas && (*got.Value != want || got.Source != int8(kmsg.ConfigSourceDynamicTopicConfig)) {
				t.Errorf("%s was created with %s of source %d", created.Topics[i].Topic, *got.Value, got.Source)
			}
		}
	}
	for name, want := range map[string]string{"plain": "2", "own": "1", "automatic": "2"} {
		got := describe(c, nil, kmsg.ConfigResourceTypeTopic, name, topic.MinInsyncReplicas).Configs
		if len(got) != 1 || *got[0].Value != want || got[0].Source != kmsg.ConfigSourceDynamicTopicConfig {
			t.Errorf("%s: %+v", name, got)
		}
	}
	broker := describe(c, nil, kmsg.ConfigResourceTypeBroker, "1", topic.MinInsyncReplicas).Configs
	if len(broker) != 1 || *broker[0].Value != "2" || broker[0].Source != kmsg.ConfigSourceStaticBrokerConfig {
		t.Errorf("the broker: %+v", broker)
	}
}

func TestIncrementalAlterConfigs(t *testing.T) {
	type op = kmsg.IncrementalAlterConfigsRequestResourceConfig
	const set, del, add, sub = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	for _, tt := range []struct {
		what string
		ops  []op
		want *kerr.Error
		now  map[string]string // the resulting configs
	}{
		{"set", []op{{Name: topic.RetentionBytes, Op: set, Value: ptr("5")}}, nil, map[string]string{topic.RetentionMs: "1000", topic.RetentionBytes: "5"}},
		{"delete", []op{{Name: topic.RetentionMs, Op: del}}, nil, map[string]string{}},
		{"delete a config that is not set", []op{{Name: topic.RetentionBytes, Op: del}}, nil, nil},
		{"append to a default", []op{{Name: topic.CleanupPolicy, Op: add, Value: ptr("compact,delete")}}, nil,
			map[string]string{topic.RetentionMs: "1000", topic.CleanupPolicy: "delete,compact"}},
		{"subtract all", []op{{Name: topic.CleanupPolicy, Op: sub, Value: ptr("delete")}}, nil,
			map[string]string{topic.RetentionMs: "1000", topic.CleanupPolicy: ""}},
		{"normalized", []op{{Name: topic.CleanupPolicy, Op: set, Value: ptr(" compact, delete,compact")}, {Name: "preallocate", Op: set, Value: ptr("TRUE")}}, nil,
			map[string]string{topic.RetentionMs: "1000", topic.CleanupPolicy: "compact,delete", "preallocate": "true"}},
		{"append nothing", []op{{Name: topic.CleanupPolicy, Op: add, Value: ptr("")}}, kerr.InvalidConfig, nil},
		{"append null", []op{{Name: topic.CleanupPolicy, Op: add}}, kerr.InvalidRequest, nil},
		{"subtract a value that is not in the list", []op{{Name: topic.CleanupPolicy, Op: sub, Value: ptr("compact")}}, nil,
			map[string]string{topic.RetentionMs: "1000", topic.CleanupPolicy: "delete"}},
		{"append to a number", []op{{Name: topic.RetentionMs, Op: add, Value: ptr("1")}}, kerr.InvalidConfig, nil},
		{"no value", []op{{Name: topic.RetentionMs, Op: set}}, kerr.InvalidRequest, nil},
		{"twice", []op{{Name: topic.RetentionMs, Op: del}, {Name: topic.RetentionMs, Op: set, Value: ptr("1")}}, kerr.InvalidRequest, nil},
		{"delete an unknown config", []op{{Name: "retention", Op: del}}, nil, nil},
		{"unknown", []op{{Name: "retention", Op: set, Value: ptr("1")}}, kerr.InvalidConfig, nil},
		{"append to an unknown config", []op{{Name: "retention", Op: add, Value: ptr("1")}}, kerr.InvalidConfig, nil},
		{"unknown operation", []op{{Name: topic.CleanupPolicy, Op: 9, Value: ptr("compact")}}, kerr.UnknownServerError, nil},
		{"negative operation", []op{{Name: topic.CleanupPolicy, Op: -1, Value: ptr("compact")}}, kerr.UnknownServerError, nil},
		{"one of two is bad", []op{{Name: topic.RetentionBytes, Op: set, Value: ptr("5")}, {Name: topic.RetentionMs, Op: set, Value: ptr("x")}}, kerr.InvalidConfig, nil},
		{"against another", []op{{Name: topic.MinCompactionLagMs, Op: set, Value: ptr("2")}, {Name: topic.MaxCompactionLagMs, Op: set, Value: ptr("1")}}, kerr.InvalidConfig, nil},
		{"valid only together", []op{{Name: topic.LocalRetentionMs, Op: set, Value: ptr("1001")}, {Name: topic.RetentionMs, Op: set, Value: ptr("2000")}}, nil,
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
			t.Errorf("%s: validate-only changed it to %v", tt.what, now)
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
	wantCode(t, "no value", ask(config{Name: topic.RetentionMs, Value: nil}), kerr.InvalidRequest)
}

// alter sends one config change per resource and returns the resulting error codes.
func alter(c *cluster, dry bool, changes ...alteration) []int16 {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = 1, dry
	for _, a := range changes {
		req.Resources = append(req.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: a.kind, ResourceName: a.name,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: a.key, Op: a.op, Value: a.value}}})
	}
	var codes []int16
	for _, r := range call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources {
		codes = append(codes, r.ErrorCode)
	}
	return codes
}

type alteration struct {
	kind      kmsg.ConfigResourceType
	name, key string
	op        kmsg.IncrementalAlterConfigOp
	value     *string
}

func TestWhatElseCannotBeAltered(t *testing.T) {
	const brokers, groups, metrics, topics = kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeTopic
	const set, del = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
	c := newCluster(t, nil)
	c.topic("orders", 1)
	for _, tt := range []struct {
		alteration
		validated, altered *kerr.Error
	}{
		{alteration{brokers, "1", "log.retention.ms", set, ptr("1")}, nil, kerr.InvalidRequest},
		{alteration{brokers, "", "log.retention.ms", set, ptr("1")}, nil, kerr.InvalidRequest},
		{alteration{brokers, "1", "log.retention.ms", set, ptr("soon")}, kerr.InvalidRequest, kerr.InvalidRequest},
		{alteration{brokers, "1", "no.such", set, ptr("1")}, nil, kerr.InvalidRequest},
		{alteration{brokers, "1", "node.id", set, ptr("1")}, kerr.InvalidRequest, kerr.InvalidRequest},
		{alteration{brokers, "7", "log.retention.ms", set, ptr("1")}, kerr.InvalidRequest, kerr.InvalidRequest},
		{alteration{brokers, "1", "log.retention.ms", del, nil}, nil, nil}, // not set
		{alteration{groups, "g", "consumer.session.timeout.ms", set, ptr("45000")}, nil, kerr.InvalidRequest},
		{alteration{metrics, "m", "interval.ms", set, ptr("1000")}, nil, kerr.InvalidRequest},
		{alteration{groups, "", "consumer.session.timeout.ms", set, ptr("45000")}, kerr.InvalidRequest, kerr.InvalidRequest},
		{alteration{topics, "none", topic.RetentionMs, set, ptr("1")}, kerr.UnknownTopicOrPartition, kerr.UnknownTopicOrPartition},
		{alteration{topics, "", topic.RetentionMs, set, ptr("1")}, kerr.InvalidRequest, kerr.InvalidRequest},
		{alteration{topics, "no/slash", topic.RetentionMs, set, ptr("1")}, kerr.InvalidTopicException, kerr.InvalidTopicException},
		{alteration{99, "x", "a", set, ptr("1")}, kerr.InvalidRequest, kerr.InvalidRequest},
	} {
		what := fmt.Sprintf("%v %q %s", tt.kind, tt.name, tt.key)
		wantCode(t, what+", validated", alter(c, true, tt.alteration)[0], tt.validated)
		wantCode(t, what, alter(c, false, tt.alteration)[0], tt.altered)
	}
	retention := alteration{topics, "orders", topic.RetentionMs, set, ptr("1")}
	for _, code := range alter(c, false, retention, alteration{topics, "orders", topic.RetentionBytes, set, ptr("1")}) {
		wantCode(t, "named twice", code, kerr.InvalidRequest)
	}
	if now := configsOf(c, "orders"); len(now) > 0 {
		t.Errorf("a duplicate topic was altered: %v", now)
	}
	c.failing = meta.ErrUnavailable
	wantCode(t, "no quorum", alter(c, false, retention)[0], kerr.RequestTimedOut)
}

func TestTheLogLevelIsSeenAndChangedByClients(t *testing.T) {
	const loggers = kmsg.ConfigResourceTypeBrokerLogger
	const set, del, add = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	c := newCluster(t, nil)
	shown := func() string {
		t.Helper()
		r := describe(c, nil, loggers, "1")
		if len(r.Configs) != 1 || r.Configs[0].Name != "root" || r.Configs[0].ReadOnly || r.Configs[0].Source != kmsg.ConfigSourceDynamicBrokerLoggerConfig {
			t.Fatalf("%+v", r)
		}
		return *r.Configs[0].Value
	}
	if got := shown(); got != "INFO" {
		t.Errorf("at first: %s", got)
	}
	for _, level := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} {
		before := shown()
		wantCode(t, level+", validated", alter(c, true, alteration{loggers, "1", "root", set, &level})[0], nil)
		if got := shown(); got != before {
			t.Errorf("validate-only changed %s to %s", before, got)
		}
		wantCode(t, level, alter(c, false, alteration{loggers, "1", "root", set, &level})[0], nil)
		if got := shown(); got != level {
			t.Errorf("%s is shown as %s", level, got)
		}
	}
	if c.level.Level() <= slog.LevelError {
		t.Errorf("the log level is %v", c.level.Level())
	}
	c.level.Set(slog.LevelWarn) // as by a reload
	if got := shown(); got != "WARN" {
		t.Errorf("WARN is shown as %s", got)
	}
	for _, tt := range []struct {
		alteration
		want *kerr.Error
	}{
		{alteration{loggers, "1", "kafka.server.KafkaApis", set, ptr("DEBUG")}, kerr.InvalidConfig},
		{alteration{loggers, "1", "root", set, ptr("LOUD")}, kerr.InvalidConfig},
		{alteration{loggers, "1", "root", set, nil}, kerr.InvalidRequest},
		{alteration{loggers, "1", "root", del, nil}, kerr.InvalidRequest},
		{alteration{loggers, "1", "root", add, ptr("DEBUG")}, kerr.InvalidRequest},
		{alteration{loggers, "2", "root", set, ptr("DEBUG")}, kerr.InvalidRequest},
		{alteration{loggers, "", "root", set, ptr("DEBUG")}, kerr.InvalidRequest},
	} {
		wantCode(t, fmt.Sprintf("%+v", tt.alteration), alter(c, false, tt.alteration)[0], tt.want)
	}
	old := kmsg.NewPtrAlterConfigsRequest()
	old.Version = 2
	old.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: loggers, ResourceName: "1",
		Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "root", Value: ptr("DEBUG")}}}}
	wantCode(t, "AlterConfigs", call[*kmsg.AlterConfigsResponse](c, old).Resources[0].ErrorCode, kerr.InvalidRequest)
	if got := shown(); got != "WARN" {
		t.Errorf("a refused change set the level to %s", got)
	}
}

// The answer to DescribeConfigs is the same bytes in parts and as a whole, in every version.
func TestConfigsInPartsAreConfigs(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("orders", 1)
	for version := int16(1); version <= 4; version++ {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version, req.IncludeSynonyms, req.IncludeDocumentation = version, true, true
		for _, r := range []struct {
			kind kmsg.ConfigResourceType
			name string
		}{{kmsg.ConfigResourceTypeTopic, "orders"}, {kmsg.ConfigResourceTypeTopic, "none"}, {kmsg.ConfigResourceTypeBroker, "1"}, {kmsg.ConfigResourceTypeBroker, ""},
			{kmsg.ConfigResourceTypeBrokerLogger, "1"}, {kmsg.ConfigResourceTypeTopic, "orders"}} {
			req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: r.kind, ResourceName: r.name})
		}
		resp := call[*kmsg.DescribeConfigsResponse](c, req)
		a := c.serve(req).parts
		raw := a.begin(nil)
		for i := range a.rows {
			raw = a.row(i, raw)
		}
		if raw = append(raw, a.tail...); !bytes.Equal(raw, resp.AppendTo(nil)) || len(resp.Resources) != len(req.Resources) {
			t.Errorf("version %d: %d bytes with %d resources are not the answer", version, len(raw), len(resp.Resources))
		}
	}
}
