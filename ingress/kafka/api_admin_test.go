package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func creation(name string, change func(*kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, 2, 1
	if change != nil {
		change(&t)
	}
	return t
}

func create(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.Topics = version, 1000, topics
	return req
}

func TestCreateTopics(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.Partitions, cfg.TopicPartitions, cfg.ClusterPartitions = 5, 10, 40 })
	c.topic("there", 1)
	config := func(name string, value *string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: name, Value: value}}
		}
	}
	assign := func(lists ...[]int32) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			t.NumPartitions, t.ReplicationFactor = -1, -1
			for i, replicas := range lists {
				t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: replicas})
			}
		}
	}
	for _, tt := range []struct {
		what   string
		name   string
		change func(*kmsg.CreateTopicsRequestTopic)
		want   *kerr.Error
	}{
		{"plain", "a", nil, nil},
		{"defaults", "b", func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions, t.ReplicationFactor = -1, -1 }, nil},
		{"exists", "there", nil, kerr.TopicAlreadyExists},
		{"bad name", "no/slash", nil, kerr.InvalidTopicException},
		{"no partitions", "c", func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions = 0 }, kerr.InvalidPartitions},
		{"too many partitions", "c", func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions = 11 }, kerr.InvalidPartitions},
		{"too many replicas", "c", func(t *kmsg.CreateTopicsRequestTopic) { t.ReplicationFactor = 3 }, kerr.InvalidReplicationFactor},
		{"config", "d", config(topic.RetentionMs, ptr("1000")), nil},
		{"unknown config", "e", config("retention", ptr("1000")), kerr.InvalidConfig},
		{"bad value", "e", config(topic.RetentionMs, ptr("soon")), kerr.InvalidConfig},
		{"no value", "e", config(topic.RetentionMs, nil), kerr.InvalidConfig},
		{"assigned to all brokers", "f", assign([]int32{1, 2}, []int32{2, 1}), nil},
		{"assigned to some brokers", "g", assign([]int32{1}), kerr.InvalidReplicaAssignment},
		{"assigned to an unknown broker", "g", assign([]int32{1, 2, 3}), kerr.InvalidReplicaAssignment},
		{"assigned twice", "g", assign([]int32{1, 1, 2}), kerr.InvalidReplicaAssignment},
		{"assigned with gaps", "g", func(t *kmsg.CreateTopicsRequestTopic) {
			assign([]int32{1, 2})(t)
			t.ReplicaAssignment[0].Partition = 1
		}, kerr.InvalidReplicaAssignment},
		{"assignment and partition count", "g", func(t *kmsg.CreateTopicsRequestTopic) {
			assign([]int32{1, 2})(t)
			t.NumPartitions = 1
		}, kerr.InvalidRequest},
	} {
		dry := create(7, creation(tt.name, tt.change))
		dry.ValidateOnly = true
		before := len(c.View().Topics())
		wantCode(t, tt.what+", validated only", call[*kmsg.CreateTopicsResponse](c, dry).Topics[0].ErrorCode, tt.want)
		if got := len(c.View().Topics()); got != before {
			t.Fatalf("%s: validate-only changed the topics", tt.what)
		}
		got := call[*kmsg.CreateTopicsResponse](c, create(7, creation(tt.name, tt.change))).Topics[0]
		wantCode(t, tt.what, got.ErrorCode, tt.want)
		made, ok := c.View().TopicByName(tt.name)
		if tt.want != nil {
			if got.ErrorMessage == nil || ok && tt.name != "there" {
				t.Errorf("%s: %+v", tt.what, got)
			}
			continue
		}
		if !ok || got.TopicID != made.ID || int(got.NumPartitions) != len(made.Partitions) || got.ReplicationFactor < 1 {
			t.Errorf("%s: told %+v, made %+v", tt.what, got, made)
		}
	}
	shown := call[*kmsg.CreateTopicsResponse](c, create(7, creation("shown", func(t *kmsg.CreateTopicsRequestTopic) {
		config(topic.RetentionMs, ptr("1000"))(t)
	}))).Topics[0].Configs
	at := slices.IndexFunc(shown, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return c.Name == topic.RetentionMs })
	if at < 0 || *shown[at].Value != "1000" || shown[at].Source != int8(kmsg.ConfigSourceDynamicTopicConfig) || len(shown) != len(topic.Configs()) {
		t.Errorf("configs told: %+v", shown)
	}
}

func TestCreateTopicsKeepsToTheRoomOfTheCluster(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.TopicPartitions, cfg.ClusterPartitions = 10, 10 })
	big := func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions = 6 }
	got := call[*kmsg.CreateTopicsResponse](c, create(7, creation("a", big), creation("b", big), creation("c", nil), creation("c", nil))).Topics
	wantCode(t, "first", got[0].ErrorCode, nil)
	wantCode(t, "6 more of 4", got[1].ErrorCode, kerr.PolicyViolation)
	wantCode(t, "named twice", got[2].ErrorCode, kerr.InvalidRequest)
	if _, made := c.View().TopicByName("c"); made || len(got) != 3 {
		t.Errorf("a duplicate topic: created %v, responses %+v", made, got)
	}
	c.failing = meta.ErrConflict
	wantCode(t, "conflict", call[*kmsg.CreateTopicsResponse](c, create(7, creation("d", nil))).Topics[0].ErrorCode, kerr.NotController)
}

func TestDeleteTopics(t *testing.T) {
	c := newCluster(t, nil)
	a, b := c.topic("a", 1), c.topic("b", 1)
	c.topic("c", 1)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version = 6
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: ptr("a")}, {TopicID: b.ID}, {Topic: ptr("none")}, {TopicID: topic.NewID()},
		{}, {Topic: ptr("a"), TopicID: a.ID}}
	got := call[*kmsg.DeleteTopicsResponse](c, req).Topics
	for i, want := range []*kerr.Error{nil, nil, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidRequest, kerr.InvalidRequest} {
		wantCode(t, fmt.Sprintf("topic %d", i), got[i].ErrorCode, want)
	}
	if *got[1].Topic != "b" || got[0].TopicID != a.ID {
		t.Errorf("both name and id are set: %+v", got[:2])
	}
	old := kmsg.NewPtrDeleteTopicsRequest()
	old.Version, old.TopicNames = 1, []string{"c"}
	wantCode(t, "by name", call[*kmsg.DeleteTopicsResponse](c, old).Topics[0].ErrorCode, nil)
	if left := c.View().Topics(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// A topic listed more than once is ambiguous, so nothing is done.
func TestTopicsNamedTwiceAreLeftAlone(t *testing.T) {
	c := newCluster(t, nil)
	a, b := c.topic("a", 1), c.topic("b", 1)
	c.topic("c", 1)
	growth := kmsg.NewPtrCreatePartitionsRequest()
	growth.Version = 3
	growth.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 2}, {Topic: "c", Count: 2}, {Topic: "a", Count: 3}, {Topic: "a", Count: 2}}
	grown := call[*kmsg.CreatePartitionsResponse](c, growth).Topics
	if len(grown) != 2 || grown[0].Topic != "a" || grown[1].Topic != "c" {
		t.Fatalf("want one result each: %+v", grown)
	}
	wantCode(t, "grown twice", grown[0].ErrorCode, kerr.InvalidRequest)
	wantCode(t, "grown once", grown[1].ErrorCode, nil)

	doom := kmsg.NewPtrDeleteTopicsRequest()
	doom.Version = 6
	for _, one := range []struct {
		name *string
		id   topic.ID
	}{{name: ptr("a")}, {id: a.ID}, {id: b.ID}, {name: ptr("c")}, {id: b.ID}, {name: ptr("none")}, {name: ptr("none")}, {name: ptr("a")}} {
		doom.Topics = append(doom.Topics, kmsg.DeleteTopicsRequestTopic{Topic: one.name, TopicID: one.id})
	}
	got := call[*kmsg.DeleteTopicsResponse](c, doom).Topics
	if len(got) != 4 {
		t.Fatalf("want one result each: %+v", got)
	}
	for i, want := range []*kerr.Error{kerr.InvalidRequest, kerr.InvalidRequest, nil, kerr.InvalidRequest} {
		wantCode(t, fmt.Sprintf("topic %d", i), got[i].ErrorCode, want)
	}
	if got[1].Topic != nil || got[1].TopicID != b.ID || *got[3].Topic != "none" {
		t.Errorf("want names or ids as in the request: %+v", got)
	}
	if left := c.View().Topics(); len(left) != 2 || len(left[0].Partitions) != 1 {
		t.Errorf("left: %+v", left)
	}
}

func TestTopicsAreNotChangedInNoTime(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("a", 1)
	before := c.proposed
	creation := create(7, creation("new", nil), creation("no/slash", nil), creation("new", nil))
	creation.TimeoutMillis = -1
	for _, dry := range []bool{false, true} {
		creation.ValidateOnly = dry
		got := call[*kmsg.CreateTopicsResponse](c, creation).Topics
		if len(got) != 3 {
			t.Fatalf("%+v", got)
		}
		for _, got := range got {
			wantCode(t, "create "+got.Topic, got.ErrorCode, kerr.RequestTimedOut)
		}
	}
	doom := kmsg.NewPtrDeleteTopicsRequest()
	doom.Version, doom.TimeoutMillis, doom.TopicNames = 5, -1, []string{"a"}
	wantCode(t, "delete", call[*kmsg.DeleteTopicsResponse](c, doom).Topics[0].ErrorCode, kerr.RequestTimedOut)
	growth := kmsg.NewPtrCreatePartitionsRequest()
	growth.Version, growth.TimeoutMillis = 3, -1
	growth.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 2}}
	wantCode(t, "grow", call[*kmsg.CreatePartitionsResponse](c, growth).Topics[0].ErrorCode, kerr.RequestTimedOut)
	if c.proposed != before {
		t.Errorf("%d changes were proposed", c.proposed-before)
	}
}

func TestNamesThatAreNotTheUsers(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics = true })
	for _, name := range []string{"a.b", "c_d", "_", "plain"} {
		c.topic(name, 1)
	}
	for name, want := range map[string]*kerr.Error{
		"a_b": kerr.InvalidTopicException, "c.d": kerr.InvalidTopicException, "_a.b": nil, "ab": nil, "a.b.": nil,
		"a.b": kerr.TopicAlreadyExists, "c_d": kerr.TopicAlreadyExists, "plain": kerr.TopicAlreadyExists,
		"__consumer_offsets": kerr.TopicAlreadyExists, "__transaction_state": kerr.TopicAlreadyExists, "__share_group_state": kerr.TopicAlreadyExists,
		"__cluster_metadata": kerr.InvalidRequest, "__mine": nil,
	} {
		dry := create(7, creation(name, nil))
		dry.ValidateOnly = true
		wantCode(t, name+", validated only", call[*kmsg.CreateTopicsResponse](c, dry).Topics[0].ErrorCode, want)
		wantCode(t, name, call[*kmsg.CreateTopicsResponse](c, create(7, creation(name, nil))).Topics[0].ErrorCode, want)
	}
	for _, got := range call[*kmsg.CreateTopicsResponse](c, create(7, creation("e.f", nil), creation("e_f", nil))).Topics {
		wantCode(t, "in one request, "+got.Topic, got.ErrorCode, nil)
	}
	before := len(c.View().Topics())
	asked := metadataOf(12, "__consumer_offsets", "__cluster_metadata", "__transaction_state", "__share_group_state", "a_b")
	asked.AllowAutoTopicCreation = true
	for i, got := range call[*kmsg.MetadataResponse](c, asked).Topics {
		want := kerr.UnknownTopicOrPartition
		if i == 4 {
			want = kerr.InvalidTopicException
		}
		wantCode(t, "auto-created: "+*got.Topic, got.ErrorCode, want)
	}
	if got := len(c.View().Topics()); got != before {
		t.Errorf("%d topics became %d", before, got)
	}
}

func TestTopicsThatAreCreatedTellTheirConfigsAsGivenAndKeepThemNormal(t *testing.T) {
	c := newCluster(t, nil)
	configs := func(pairs ...string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			for i := 0; i < len(pairs); i += 2 {
				t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: pairs[i], Value: &pairs[i+1]})
			}
		}
	}
	dry := create(7, creation("a", nil), creation("no/slash", nil))
	dry.ValidateOnly = true
	got := call[*kmsg.CreateTopicsResponse](c, dry).Topics
	if topic.ID(got[0].TopicID).IsZero() || !topic.ID(got[1].TopicID).IsZero() || got[1].Configs == nil || len(got[1].Configs) > 0 {
		t.Errorf("validated: %+v", got)
	}
	made := call[*kmsg.CreateTopicsResponse](c, create(7, creation("a", configs(
		topic.RetentionMs, "1", topic.RetentionMs, " 2000 ", topic.CleanupPolicy, "", topic.MinCleanableRatio, ".5")))).Topics[0]
	told := make(map[string]string)
	for _, c := range made.Configs {
		if c.Source == int8(kmsg.ConfigSourceDynamicTopicConfig) {
			told[c.Name] = *c.Value
		}
	}
	if want := map[string]string{topic.RetentionMs: " 2000 ", topic.CleanupPolicy: "", topic.MinCleanableRatio: ".5"}; made.ErrorCode != 0 || !maps.Equal(told, want) {
		t.Errorf("code %d, told %q", made.ErrorCode, told)
	}
	if kept := configsOf(c, "a"); !maps.Equal(kept, map[string]string{topic.RetentionMs: "2000", topic.CleanupPolicy: "", topic.MinCleanableRatio: "0.5"}) {
		t.Errorf("kept %q", kept)
	}
}

func TestCreatePartitions(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.TopicPartitions, cfg.ClusterPartitions = 10, 12 })
	c.topic("a", 2)
	c.topic("b", 2)
	ask := func(dry bool, topics ...kmsg.CreatePartitionsRequestTopic) []kmsg.CreatePartitionsResponseTopic {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.Topics, req.ValidateOnly = 3, topics, dry
		return call[*kmsg.CreatePartitionsResponse](c, req).Topics
	}
	all := kmsg.CreatePartitionsRequestTopicAssignment{Replicas: []int32{1, 2}}
	for _, tt := range []struct {
		what string
		ask  kmsg.CreatePartitionsRequestTopic
		want *kerr.Error
	}{
		{"not more", kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 2}, kerr.InvalidPartitions},
		{"too many for a topic", kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 11}, kerr.InvalidPartitions},
		{"huge", kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 1<<31 - 1, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{all}}, kerr.InvalidReplicaAssignment},
		{"unknown", kmsg.CreatePartitionsRequestTopic{Topic: "none", Count: 3}, kerr.UnknownTopicOrPartition},
		{"assigned", kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 3, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{all}}, nil},
		{"assigned to some brokers", kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 3, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1}}}}, kerr.InvalidReplicaAssignment},
	} {
		wantCode(t, tt.what, ask(true, tt.ask)[0].ErrorCode, tt.want)
	}
	got := ask(false, kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 9}, kmsg.CreatePartitionsRequestTopic{Topic: "b", Count: 4})
	wantCode(t, "grown", got[0].ErrorCode, nil)
	wantCode(t, "2 more of 1", got[1].ErrorCode, kerr.PolicyViolation)
	if a, _ := c.View().TopicByName("a"); len(a.Partitions) != 9 {
		t.Errorf("%d partitions", len(a.Partitions))
	}
}

// If a partition is listed twice, the last entry counts and there is one result.
func TestDeleteRecordsOfWhatIsNamedTwice(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 2)
	for i := range int32(2) {
		c.state(orders, i).Publish(100)
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version = 2
	req.Topics = []kmsg.DeleteRecordsRequestTopic{
		{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 1, Offset: 50}, {Partition: 0, Offset: 101}}},
		{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 10}, {Partition: 1, Offset: 20}}}, {Topic: "empty"}}
	resp := call[*kmsg.DeleteRecordsResponse](c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
		t.Fatalf("%+v", resp.Topics)
	}
	for _, p := range resp.Topics[0].Partitions {
		if want := int64(10 + 10*p.Partition); p.ErrorCode != 0 || p.LowWatermark != want || c.state(orders, p.Partition).LogStart() != want {
			t.Errorf("%+v", p)
		}
	}
}

func TestDeleteRecords(t *testing.T) {
	c := newCluster(t, nil)
	orders, compacted := c.topic("orders", 3), c.topic("compacted", 1)
	if err := c.AlterTopic(context.Background(), compacted.ID, map[string]string{topic.CleanupPolicy: topic.CleanupCompact}, nil); err != nil {
		t.Fatal(err)
	}
	for i := range int32(3) {
		c.state(orders, i).Publish(100)
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version = 2
	req.Topics = []kmsg.DeleteRecordsRequestTopic{
		{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 10}, {Partition: 1, Offset: -1}, {Partition: 2, Offset: 101}, {Partition: 3}}},
		{Topic: "compacted", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{}}},
		{Topic: "none", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{}}},
	}
	resp := call[*kmsg.DeleteRecordsResponse](c, req)
	p := resp.Topics[0].Partitions
	for i, want := range []*kerr.Error{nil, nil, kerr.OffsetOutOfRange, kerr.UnknownTopicOrPartition} {
		wantCode(t, fmt.Sprintf("partition %d", i), p[i].ErrorCode, want)
	}
	if p[0].LowWatermark != 10 || p[1].LowWatermark != 100 || p[2].LowWatermark != -1 || c.state(orders, 0).LogStart() != 10 {
		t.Errorf("low watermarks: %+v", p)
	}
	wantCode(t, "compacted", resp.Topics[1].Partitions[0].ErrorCode, kerr.PolicyViolation)
	wantCode(t, "unknown", resp.Topics[2].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	kept := c.topic("kept", 1)
	if err := c.AlterTopic(context.Background(), kept.ID, map[string]string{topic.CleanupPolicy: ""}, nil); err != nil {
		t.Fatal(err)
	}
	c.state(kept, 0).Publish(100)
	ask := kmsg.NewPtrDeleteRecordsRequest()
	ask.Version = 2
	ask.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "kept", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 5}}}}
	if p := call[*kmsg.DeleteRecordsResponse](c, ask).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.LowWatermark != 5 {
		t.Errorf("a topic whose records are neither compacted nor deleted: %+v", p)
	}
	proposed := c.proposed
	req.Topics = req.Topics[:1]
	req.Topics[0].Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 5}}
	if p := call[*kmsg.DeleteRecordsResponse](c, req).Topics[0].Partitions[0]; p.LowWatermark != 10 || p.ErrorCode != 0 || c.proposed != proposed {
		t.Errorf("records already deleted need no change: %+v", p)
	}
}

func TestInitProducerID(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.ProducerIDBlock = 2 })
	ask := func(change func(*kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version = 5
		if change != nil {
			change(req)
		}
		return call[*kmsg.InitProducerIDResponse](c, req)
	}
	var ids []int64
	for range 3 {
		resp := ask(nil)
		if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 {
			t.Fatalf("%+v", resp)
		}
		ids = append(ids, resp.ProducerID)
	}
	if !slices.Equal(ids, []int64{1000, 1001, 1002}) || c.proposed != 2 {
		t.Errorf("ids %v from %d blocks", ids, c.proposed)
	}
	bumped := ask(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = 1000, 4 })
	if bumped.ErrorCode != 0 || bumped.ProducerID != 1003 || bumped.ProducerEpoch != 0 {
		t.Errorf("a producer that sends its old id gets a new one: %+v", bumped)
	}
	for _, tt := range []struct {
		what   string
		change func(*kmsg.InitProducerIDRequest)
		want   *kerr.Error
	}{
		{"transactional", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = ptr("tx") }, kerr.UnsupportedVersion},
		{"empty transactional id", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = ptr("") }, kerr.InvalidRequest},
		{"id without epoch", func(r *kmsg.InitProducerIDRequest) { r.ProducerID = 1 }, kerr.InvalidRequest},
	} {
		resp := ask(tt.change)
		wantCode(t, tt.what, resp.ErrorCode, tt.want)
		if resp.ProducerID != -1 {
			t.Errorf("%s: id %d", tt.what, resp.ProducerID)
		}
	}
	c.failing = meta.ErrUnavailable
	wantCode(t, "no quorum", ask(nil).ErrorCode, kerr.CoordinatorNotAvailable)
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	s := c.state(orders, 0)
	s.NoteEpoch(1, 0)
	s.NoteEpoch(3, 40)
	s.Publish(100)
	for _, tt := range []struct {
		partition, current, epoch int32
		want                      *kerr.Error
		wantEpoch                 int32
		wantEnd                   int64
	}{
		{0, 3, 3, nil, 3, 100},
		{0, -1, 2, nil, 1, 40},
		{0, 3, 0, nil, 0, 0},
		{0, 3, -1, nil, -1, -1},
		{0, 2, 1, kerr.FencedLeaderEpoch, -1, -1},
		{0, 4, 1, kerr.UnknownLeaderEpoch, -1, -1},
		{1, -1, 1, kerr.UnknownTopicOrPartition, -1, -1},
	} {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = 4
		req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
			{Partition: tt.partition, CurrentLeaderEpoch: tt.current, LeaderEpoch: tt.epoch}}}}
		p := call[*kmsg.OffsetForLeaderEpochResponse](c, req).Topics[0].Partitions[0]
		wantCode(t, fmt.Sprintf("%+v", tt), p.ErrorCode, tt.want)
		if p.LeaderEpoch != tt.wantEpoch || p.EndOffset != tt.wantEnd {
			t.Errorf("%+v: got epoch %d, end %d", tt, p.LeaderEpoch, p.EndOffset)
		}
	}
}
