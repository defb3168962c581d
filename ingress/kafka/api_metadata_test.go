package kafka

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func metadataOf(version int16, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	for _, n := range names {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &n})
	}
	return req
}

func TestMetadataDescribesTheCluster(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 2)
	orders.Partitions[0].Replicas, orders.Partitions[0].ISR = []int32{1, 9}, []int32{1}
	orders.Partitions[1].Leader = -1
	resp := call[*kmsg.MetadataResponse](c, metadataOf(12, "orders"))
	if *resp.ClusterID != "test-cluster" || resp.ControllerID != 1 || len(resp.Brokers) != 2 || *resp.Brokers[1].Rack != "r2" || resp.Brokers[0].Rack != nil {
		t.Errorf("cluster: %+v", resp)
	}
	got := resp.Topics[0]
	if got.TopicID != orders.ID || *got.Topic != "orders" || len(got.Partitions) != 2 || got.AuthorizedOperations != notAsked {
		t.Errorf("topic: %+v", got)
	}
	p := got.Partitions
	if p[0].Leader != 1 || p[0].LeaderEpoch != 3 || len(p[0].OfflineReplicas) != 1 || p[0].OfflineReplicas[0] != 9 {
		t.Errorf("partition: %+v", p[0])
	}
	wantCode(t, "no leader", p[1].ErrorCode, kerr.LeaderNotAvailable)
}

func TestMetadataOfAllOfNoneAndByID(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	c.topic("bills", 1)
	if got := call[*kmsg.MetadataResponse](c, metadataOf(0)).Topics; len(got) != 2 || *got[0].Topic != "bills" {
		t.Errorf("v0, an empty list means all: %+v", got)
	}
	if got := call[*kmsg.MetadataResponse](c, metadataOf(1)).Topics; len(got) != 2 {
		t.Errorf("v1, null means all: %+v", got)
	}
	none := metadataOf(9)
	none.Topics = []kmsg.MetadataRequestTopic{}
	if got := call[*kmsg.MetadataResponse](c, none).Topics; len(got) != 0 {
		t.Errorf("v9, an empty list means none: %+v", got)
	}
	byID := metadataOf(12)
	byID.Topics = []kmsg.MetadataRequestTopic{{TopicID: orders.ID}, {TopicID: topic.NewID()}}
	got := call[*kmsg.MetadataResponse](c, byID).Topics
	if len(got) != 2 || *got[0].Topic != "orders" {
		t.Fatalf("by id: %+v", got)
	}
	wantCode(t, "unknown id", got[1].ErrorCode, kerr.UnknownTopicID)
}

func TestMetadataTellsEachTopicOnce(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	for version := range int16(14) {
		got := call[*kmsg.MetadataResponse](c, metadataOf(version, "orders", "none", "orders", "none")).Topics
		if len(got) != 2 || *got[0].Topic != "orders" || *got[1].Topic != "none" || got[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("v%d: %+v", version, got)
		}
	}
	unknown := topic.NewID()
	req := metadataOf(12, "none")
	req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{TopicID: orders.ID}, kmsg.MetadataRequestTopic{TopicID: unknown},
		kmsg.MetadataRequestTopic{TopicID: orders.ID}, kmsg.MetadataRequestTopic{}, kmsg.MetadataRequestTopic{TopicID: unknown})
	got := call[*kmsg.MetadataResponse](c, req).Topics
	if len(got) != 2 || *got[0].Topic != "orders" || got[1].TopicID != unknown || got[1].ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("with ids, names are ignored: %+v", got)
	}
}

func TestMetadataRefusesOddRequestsAsAWhole(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics = true })
	orders := c.topic("orders", 1)
	for _, tt := range []struct {
		what     string
		odd      kmsg.MetadataRequestTopic
		from, to int16
		want     *kerr.Error
	}{
		{"by id", kmsg.MetadataRequestTopic{TopicID: orders.ID}, 10, 11, kerr.InvalidRequest},
		{"by name and id", kmsg.MetadataRequestTopic{Topic: ptr("orders"), TopicID: orders.ID}, 10, 11, kerr.InvalidRequest},
		{"by neither", kmsg.MetadataRequestTopic{}, 10, 11, kerr.InvalidRequest},
		{"by neither", kmsg.MetadataRequestTopic{}, 12, 13, kerr.UnknownServerError},
	} {
		for version := tt.from; version <= tt.to; version++ {
			req := metadataOf(version, "new")
			req.AllowAutoTopicCreation = true
			req.Topics = append(req.Topics, tt.odd)
			resp := call[*kmsg.MetadataResponse](c, req)
			if len(resp.Topics) != 2 || len(resp.Brokers) > 0 || resp.ClusterID != nil || resp.ControllerID != -1 {
				t.Fatalf("%s, v%d: %+v", tt.what, version, resp)
			}
			for _, got := range resp.Topics {
				wantCode(t, fmt.Sprintf("%s, v%d", tt.what, version), got.ErrorCode, tt.want)
			}
			if version >= 13 {
				wantCode(t, tt.what+", the whole", resp.ErrorCode, tt.want)
			}
		}
	}
	if _, made := c.View().TopicByName("new"); made {
		t.Error("a refused request created a topic")
	}
}

func TestMetadataTellsAuthorizedOperations(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("orders", 1)
	req := metadataOf(8, "orders")
	req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
	resp := call[*kmsg.MetadataResponse](c, req)
	// Bits: 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action, 10 and
	// 11 describe and alter configs, 12 idempotent write.
	if got := resp.Topics[0].AuthorizedOperations; got != 0b0000_1101_1111_1000 {
		t.Errorf("topic: %b", got)
	}
	if got := resp.AuthorizedOperations; got != 0b0001_1111_1010_0000 {
		t.Errorf("cluster: %b", got)
	}
}

func TestMetadataCreatesTopics(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics, cfg.Partitions, cfg.Replication = true, 3, 5 })
	asked := []string{"new", "new", "bad name", "__consumer_offsets"}
	quiet := metadataOf(4, asked...)
	quiet.AllowAutoTopicCreation = false
	wantCode(t, "not allowed", call[*kmsg.MetadataResponse](c, quiet).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	allowed := metadataOf(4, asked...)
	allowed.AllowAutoTopicCreation = true
	got := call[*kmsg.MetadataResponse](c, allowed).Topics
	for i, want := range []*kerr.Error{nil, kerr.InvalidTopicException, kerr.UnknownTopicOrPartition} {
		wantCode(t, *got[i].Topic, got[i].ErrorCode, want)
	}
	if len(got[0].Partitions) != 3 || c.View().Topics()[0].Name != "new" || len(c.View().Topics()) != 1 {
		t.Errorf("created: %+v", got[0])
	}
	wantCode(t, "old versions always allow", call[*kmsg.MetadataResponse](c, metadataOf(3, "older")).Topics[0].ErrorCode, nil)
	c.failing = meta.ErrUnavailable
	allowed = metadataOf(4, "later")
	allowed.AllowAutoTopicCreation = true
	wantCode(t, "no quorum", call[*kmsg.MetadataResponse](c, allowed).Topics[0].ErrorCode, kerr.RequestTimedOut)
}

func TestMetadataCreatesABoundedNumberAtOnce(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics = true })
	var names []string
	for i := range createdAtOnce + 1 {
		names = append(names, fmt.Sprintf("t%d", i))
	}
	got := call[*kmsg.MetadataResponse](c, metadataOf(3, names...)).Topics
	wantCode(t, "the last that fits", got[createdAtOnce-1].ErrorCode, nil)
	wantCode(t, "one too many", got[createdAtOnce].ErrorCode, kerr.UnknownTopicOrPartition)
	got = call[*kmsg.MetadataResponse](c, metadataOf(3, names...)).Topics
	wantCode(t, "asked again", got[createdAtOnce].ErrorCode, nil)
}

func TestMetadataCreatesNothingUnlessConfigured(t *testing.T) {
	c := newCluster(t, nil)
	req := metadataOf(4, "new")
	req.AllowAutoTopicCreation = true
	wantCode(t, "off", call[*kmsg.MetadataResponse](c, req).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	if c.proposed != 0 {
		t.Errorf("%d changes", c.proposed)
	}
}

func TestDescribeCluster(t *testing.T) {
	c := newCluster(t, nil)
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version = 2
	resp := call[*kmsg.DescribeClusterResponse](c, req)
	if resp.ErrorCode != 0 || resp.ClusterID != "test-cluster" || resp.ControllerID != 1 || len(resp.Brokers) != 2 || resp.ClusterAuthorizedOperations != notAsked {
		t.Errorf("%+v", resp)
	}
	req.IncludeClusterAuthorizedOperations = true
	for endpoint, want := range map[int8]*kerr.Error{2: kerr.MismatchedEndpointType, 0: kerr.UnsupportedEndpointType, 3: kerr.UnsupportedEndpointType, -1: kerr.UnsupportedEndpointType} {
		req.EndpointType = endpoint
		resp := call[*kmsg.DescribeClusterResponse](c, req)
		wantCode(t, fmt.Sprintf("endpoint %d", endpoint), resp.ErrorCode, want)
		if resp.EndpointType != 1 || resp.ClusterID != "" || resp.ControllerID != -1 || len(resp.Brokers) > 0 || resp.ClusterAuthorizedOperations != notAsked {
			t.Errorf("endpoint %d: %+v", endpoint, resp)
		}
	}
}

func TestFindCoordinator(t *testing.T) {
	c := newCluster(t, nil)
	old := kmsg.NewPtrFindCoordinatorRequest()
	old.Version, old.CoordinatorKey = 2, "g"
	if resp := call[*kmsg.FindCoordinatorResponse](c, old); resp.ErrorCode != 0 || resp.NodeID != 1 || resp.Host != "one" || resp.Port != 9092 {
		t.Errorf("v2: %+v", resp)
	}
	many := kmsg.NewPtrFindCoordinatorRequest()
	many.Version, many.CoordinatorKeys = 6, []string{"a", "b"}
	many.CoordinatorType = coordinatorTransaction
	if got := call[*kmsg.FindCoordinatorResponse](c, many).Coordinators; len(got) != 2 || got[1].Key != "b" || got[1].NodeID != 1 {
		t.Errorf("v6: %+v", got)
	}
	many.CoordinatorType = 2
	wantCode(t, "share groups", call[*kmsg.FindCoordinatorResponse](c, many).Coordinators[0].ErrorCode, kerr.InvalidRequest)
	c.view = meta.NewView(2, "test-cluster", -1, nil, nil)
	wantCode(t, "nobody registered", call[*kmsg.FindCoordinatorResponse](c, old).ErrorCode, kerr.CoordinatorNotAvailable)
}

func BenchmarkMetadataOf10000Partitions(b *testing.B) {
	c := newCluster(b, nil)
	c.topic("orders", 10_000)
	h := &metadataHandler{cfg: &c.cfg, lookup: c.deps.Lookup, code: c.deps.code}
	req := metadataOf(12, "orders")
	b.ReportAllocs()
	for b.Loop() {
		h.answer(req, nil)
	}
}

// What is charged for an answer to Metadata is what it holds while it is written: little beside
// what it is as a whole.
func TestMetadataIsChargedItsLargestRow(t *testing.T) {
	c := newCluster(t, nil)
	for i := range 20 {
		c.topic(fmt.Sprintf("a-topic-%d", i), 1000)
	}
	for _, req := range []*kmsg.MetadataRequest{metadataOf(9), metadataOf(12), metadataOf(9, "a-topic-1"), metadataOf(9, "small", "none"), metadataOf(1)} {
		resp := c.serve(req)
		most := 0
		for i := range resp.parts.rows {
			most = max(most, len(resp.parts.row(i, nil)))
		}
		if n := c.metadataBytes(req); n < int64(most) || n > 3*int64(most)+2048 || n < resp.parts.held {
			t.Errorf("%d bytes are charged for rows of up to %d, %d are held", n, most, resp.parts.held)
		}
	}
}

// The answer to Metadata is the same bytes in parts and as a whole, in every version.
func TestMetadataInPartsIsMetadata(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("one", 1)
	c.topic("many", 300)
	for version := int16(0); version <= 13; version++ {
		for _, req := range []*kmsg.MetadataRequest{metadataOf(version), metadataOf(version, "many"), metadataOf(version, "none", "one", "a/b")} {
			req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
			resp := call[*kmsg.MetadataResponse](c, req)
			a := c.serve(req).parts
			raw := a.begin(nil)
			for i := range a.rows {
				raw = a.row(i, raw)
			}
			if raw = append(raw, a.tail...); !bytes.Equal(raw, resp.AppendTo(nil)) {
				t.Errorf("version %d: %d bytes are not the answer", version, len(raw))
			}
			if len(resp.Topics) != a.rows || a.rows == 0 || len(resp.Brokers) != 2 {
				t.Errorf("version %d: %d topics and %d brokers", version, len(resp.Topics), len(resp.Brokers))
			}
		}
	}
}
