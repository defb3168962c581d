package e2e

import (
	"context"
	enc "encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/record"
)

// raw sends a request of the given version over a new connection, without a client that would retry,
// split or repair it.
func raw[R kmsg.Response](b *broker, version int16, req kmsg.Request) R {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	req.SetVersion(version)
	if _, err := nc.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		b.t.Fatal(err)
	}
	var head [8]byte // size and correlation id
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		b.t.Fatalf("%T version %d: %v", req, version, err)
	}
	body := make([]byte, enc.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(nc, body); err != nil {
		b.t.Fatal(err)
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != kmsg.ApiVersions.Int16() {
		body = body[1:] // the header has no tagged fields
	}
	if req.Key() == kmsg.ApiVersions.Int16() && version > 5 {
		resp.SetVersion(0)
	}
	if err := resp.ReadFrom(body); err != nil {
		b.t.Fatalf("%T version %d: %v", req, version, err)
	}
	return resp.(R)
}

func (b *broker) topicID(name string) [16]byte {
	b.t.Helper()
	topics, err := b.admins().ListTopics(deadline(b.t), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return topics[name].ID
}

func code(t *testing.T, what string, got int16, want *kerr.Error) {
	t.Helper()
	if want == nil && got != 0 || want != nil && got != want.Code {
		t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(got), want)
	}
}

// Unusual ListOffsets, Fetch and DeleteRecords requests are answered as by Kafka.
func TestOddReadsAreAnsweredAsKafkaDoes(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 2)
	made := record.NewBuilder()
	made.Add(-1, nil, []byte("a"))
	made.Add(-1, nil, []byte("b"))
	timeless, err := made.Build()
	if err != nil {
		t.Fatal(err)
	}
	w := b.dial(produceFrame("t", 0, 1, timeless))
	for range 3 {
		if err := w.send(); err != nil {
			t.Fatal(err)
		}
		if err := w.receive(); err != nil {
			t.Fatal(err)
		}
	}
	list := func(version int16, isolation int8, partitions ...kmsg.ListOffsetsRequestTopicPartition) []kmsg.ListOffsetsResponseTopicPartition {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID, req.IsolationLevel, req.TimeoutMillis = -1, isolation, 10_000
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: partitions}}
		return raw[*kmsg.ListOffsetsResponse](b, version, req).Topics[0].Partitions
	}
	at := func(partition int32, timestamp int64) kmsg.ListOffsetsRequestTopicPartition {
		return kmsg.ListOffsetsRequestTopicPartition{Partition: partition, Timestamp: timestamp, CurrentLeaderEpoch: -1}
	}
	for _, p := range list(11, 0, at(0, -3), at(1, -2)) { // records without timestamps; no records
		if p.ErrorCode != 0 || p.Offset != 0 || p.Timestamp != -1 || p.LeaderEpoch < 0 {
			t.Errorf("%+v", p)
		}
	}
	if p := list(11, 0, at(0, -6))[0]; p.ErrorCode != 0 || p.Offset < 0 || p.Offset > 6 || p.LeaderEpoch < 0 {
		t.Errorf("first offset that is in no object: %+v", p)
	}
	code(t, "-6 before it was", list(10, 0, at(0, -6))[0].ErrorCode, kerr.UnsupportedVersion)
	code(t, "isolation level 5", list(11, 5, at(0, -1))[0].ErrorCode, kerr.UnknownServerError)
	if got := list(11, 0, at(0, -1), at(1, -1), at(0, -2)); len(got) != 2 || got[0].ErrorCode != kerr.InvalidRequest.Code || got[1].ErrorCode != 0 {
		t.Errorf("a partition twice: %+v", got)
	}
	deletion := kmsg.NewPtrDeleteRecordsRequest()
	deletion.TimeoutMillis = 10_000
	deletion.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 100}, {Offset: 2}}}}
	if got := raw[*kmsg.DeleteRecordsResponse](b, 2, deletion).Topics[0].Partitions; len(got) != 1 || got[0].ErrorCode != 0 || got[0].LowWatermark != 2 {
		t.Errorf("deletion, twice: %+v", got)
	}
	if p := list(11, 0, at(0, -3))[0]; p.Offset != 2 || p.Timestamp != -1 {
		t.Errorf("no record that is left has a time: %+v", p)
	}
	fetch := func(change func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)) *kmsg.FetchResponse {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 0, 1<<20, -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = 2, 1<<20
		req.Topics = []kmsg.FetchRequestTopic{{TopicID: b.topicID("t"), Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		change(req, &req.Topics[0].Partitions[0])
		return raw[*kmsg.FetchResponse](b, 18, req)
	}
	twice := fetch(func(req *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		again := *p
		again.FetchOffset = 4
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, again)
	})
	if got := twice.Topics[0].Partitions; len(got) != 1 || len(got[0].RecordBatches) != len(timeless) {
		t.Errorf("a partition twice: %+v", got)
	}
	code(t, "isolation level 2", fetch(func(req *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { req.IsolationLevel = 2 }).ErrorCode, kerr.UnknownServerError)
	code(t, "a negative size", fetch(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = -1 }).Topics[0].Partitions[0].ErrorCode, kerr.UnknownServerError)
	code(t, "a later epoch", fetch(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 1000 }).Topics[0].Partitions[0].ErrorCode, kerr.OffsetOutOfRange)
}

// In the newest versions of group requests topics are IDs, and the error codes are Kafka's.
func TestGroupsOfTheNewestVersions(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 2)
	first := b.topicID("t")
	commit := func(version int16, group string, generation int32, id [16]byte, offset int64) int16 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = group, generation
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = offset, new(string)
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
		return raw[*kmsg.OffsetCommitResponse](b, version, req).Topics[0].Partitions[0].ErrorCode
	}
	committed := func(id [16]byte) string {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = "g", []kmsg.OffsetFetchRequestGroupTopic{{TopicID: id, Partitions: []int32{0}}}
		req.Groups = append(req.Groups, g)
		rt := raw[*kmsg.OffsetFetchResponse](b, 10, req).Groups[0].Topics[0]
		return fmt.Sprint(rt.TopicID == id, " ", rt.Partitions[0].Offset, " ", rt.Partitions[0].ErrorCode)
	}
	code(t, "commit by id", commit(10, "g", -1, first, 7), nil)
	code(t, "commit to an unknown id", commit(10, "g", -1, [16]byte{9}, 7), kerr.UnknownTopicID)
	code(t, "commit of no group's member", commit(9, "none", 3, first, 7), kerr.GroupIDNotFound)
	code(t, "the same by id", commit(10, "none", 3, first, 7), kerr.GroupIDNotFound)
	code(t, "the same before", commit(8, "none", 3, first, 7), kerr.IllegalGeneration)
	if got := committed(first); got != "true 7 0" {
		t.Errorf("offset: %s", got)
	}
	// A recreated topic has no committed offsets, and the old topic's ID is unknown.
	if _, err := b.admins().DeleteTopic(deadline(t), "t"); err != nil {
		t.Fatal(err)
	}
	b.createTopic("t", 2)
	unknown := fmt.Sprint("true -1 ", kerr.UnknownTopicID.Code)
	if old, again := committed(first), committed(b.topicID("t")); old != unknown || again != "true -1 0" {
		t.Errorf("offsets of the topic that is gone: %s, of the new one: %s", old, again)
	}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups, describe.IncludeAuthorizedOperations = []string{"g"}, true
	if g := raw[*kmsg.DescribeGroupsResponse](b, 6, describe).Groups[0]; g.AuthorizedOperations != 3400 {
		t.Errorf("operations: %+v", g)
	}
	deletion := kmsg.NewPtrDeleteGroupsRequest()
	deletion.Groups = []string{"g", "none", ""}
	for i, g := range raw[*kmsg.DeleteGroupsResponse](b, 3, deletion).Groups {
		code(t, "deletion of "+g.Group, g.ErrorCode, []*kerr.Error{nil, kerr.GroupIDNotFound, kerr.GroupIDNotFound}[i])
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g"}
	if r := raw[*kmsg.FindCoordinatorResponse](b, 3, find); r.ErrorMessage == nil || *r.ErrorMessage != "NONE" {
		t.Errorf("coordinator: %+v", r)
	}
	if c := raw[*kmsg.FindCoordinatorResponse](b, 6, find).Coordinators[0]; c.ErrorMessage == nil || *c.ErrorMessage != "" {
		t.Errorf("coordinator: %+v", c)
	}
}

// A client that names the cluster and broker that it expects gets an error from any other (KIP-1242).
func TestClientsAreToldThatTheyCameToAnotherBroker(t *testing.T) {
	b := newBroker(t)
	metadata, err := b.admins().BrokerMetadata(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(version int16, cluster *string, node int32) *kmsg.ApiVersionsResponse {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "e2e", "1.0"
		req.ClusterID, req.NodeID = cluster, node
		return raw[*kmsg.ApiVersionsResponse](b, version, req)
	}
	own, other, id := &metadata.Cluster, kmsg.StringPtr("another"), metadata.Brokers[0].NodeID
	code(t, "nothing", ask(5, nil, -1).ErrorCode, nil)
	code(t, "this broker", ask(5, own, id).ErrorCode, nil)
	code(t, "another broker", ask(5, own, id+1).ErrorCode, kerr.RebootstrapRequired)
	code(t, "another cluster", ask(5, other, id).ErrorCode, kerr.RebootstrapRequired)
	code(t, "only a cluster", ask(5, own, -1).ErrorCode, kerr.InvalidRequest)
	code(t, "only a broker", ask(5, nil, id).ErrorCode, kerr.InvalidRequest)
	if r := ask(6, nil, -1); r.ErrorCode != kerr.UnsupportedVersion.Code || len(r.ApiKeys) != 1 || r.ApiKeys[0].ApiKey != 18 || r.ApiKeys[0].MaxVersion != 5 {
		t.Errorf("version 6: %+v", r)
	}
}
