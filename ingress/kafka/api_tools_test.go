package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func TestConfigResources(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("a", 1)
	for _, tt := range []struct {
		version int16
		kinds   []int8
		want    string
		code    *kerr.Error
	}{
		{0, nil, "[]", nil},
		{1, nil, "[1/8 2/8 1/4 2/4 a/2]", nil},
		{1, []int8{2, 2}, "[a/2]", nil},
		{1, []int8{16, 32}, "[]", nil},
		{1, []int8{2, 99}, "[]", kerr.UnsupportedVersion},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = tt.version, tt.kinds
		resp := call[*kmsg.ListConfigResourcesResponse](c, req)
		got := []string{}
		for _, r := range resp.ConfigResources {
			got = append(got, fmt.Sprintf("%s/%d", r.Name, r.Type))
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("version %d, types %v: got %v, want %s", tt.version, tt.kinds, got, tt.want)
		}
		wantCode(t, fmt.Sprint("types ", tt.kinds), resp.ErrorCode, tt.code)
	}
}

func TestElections(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("a", 2)
	lost := c.topic("lost", 1)
	if err := c.change(func(all map[topic.ID]*meta.Topic) error {
		all[lost.ID].Partitions[0] = &meta.Partition{Leader: -1, Replicas: []int32{1}, Offline: true}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ask := func(kind int8, topics ...kmsg.ElectLeadersRequestTopic) *kmsg.ElectLeadersResponse {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Version, req.ElectionType, req.Topics = 2, kind, topics
		return call[*kmsg.ElectLeadersResponse](c, req)
	}
	for kind, offline := range map[int8]*kerr.Error{electPreferred: kerr.PreferredLeaderNotAvailable, electUnclean: kerr.EligibleLeadersNotAvailable} {
		resp := ask(kind, kmsg.ElectLeadersRequestTopic{Topic: "a", Partitions: []int32{0, 9}},
			kmsg.ElectLeadersRequestTopic{Topic: "nobody", Partitions: []int32{0}},
			kmsg.ElectLeadersRequestTopic{Topic: "lost", Partitions: []int32{0}})
		wantCode(t, "a partition with a leader", resp.Topics[0].Partitions[0].ErrorCode, kerr.ElectionNotNeeded)
		wantCode(t, "an unknown partition", resp.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition)
		wantCode(t, "an unknown topic", resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
		wantCode(t, "a partition without a leader", resp.Topics[2].Partitions[0].ErrorCode, offline)
		all := ask(kind)
		if len(all.Topics) != 2 || len(all.Topics[0].Partitions) != 0 || len(all.Topics[1].Partitions) != 1 {
			t.Errorf("all: %+v", all.Topics)
		}
	}
	// However long a topic name is, a response does not repeat it for each partition.
	many := ask(electPreferred, kmsg.ElectLeadersRequestTopic{Topic: strings.Repeat("x", 30_000), Partitions: make([]int32, 1000)})
	if n := len(many.AppendTo(nil)); n > 30_000+1000*100 {
		t.Errorf("an answer of %d bytes", n)
	}
	wantCode(t, "an unknown election type", ask(2).ErrorCode, kerr.InvalidRequest)
}

func TestQuorum(t *testing.T) {
	c := newCluster(t, nil)
	ask := func(version int16, topics ...kmsg.DescribeQuorumRequestTopic) *kmsg.DescribeQuorumResponse {
		req := kmsg.NewPtrDescribeQuorumRequest()
		req.Version, req.Topics = version, topics
		return call[*kmsg.DescribeQuorumResponse](c, req)
	}
	metadata := kmsg.DescribeQuorumRequestTopic{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}
	c.quorum = Quorum{Leader: 1, Epoch: 7, Committed: 100, Voters: []Voter{{1, 102}, {2, 99}}}
	for version := range int16(3) {
		resp := ask(version, metadata)
		part := resp.Topics[0].Partitions[0]
		if part.ErrorCode != 0 || part.LeaderID != 1 || part.LeaderEpoch != 7 || part.HighWatermark != 100 || len(part.CurrentVoters) != 2 {
			t.Fatalf("version %d: %+v", version, part)
		}
		if v := part.CurrentVoters[1]; v.ReplicaID != 2 || v.LogEndOffset != 99 {
			t.Errorf("version %d: the second voter is %+v", version, v)
		}
		if version >= 2 && (len(resp.Nodes) != 2 || resp.Nodes[1].NodeID != 2) {
			t.Errorf("nodes: %+v", resp.Nodes)
		}
	}
	other := metadata
	other.Topic = "a"
	wantCode(t, "another topic", ask(2, other).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	wantCode(t, "and another", ask(2, metadata, other).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	c.quorum = Quorum{Leader: -1}
	wantCode(t, "without a leader", ask(2, metadata).Topics[0].Partitions[0].ErrorCode, kerr.NotLeaderForPartition)
}

func TestReassignments(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("a", 1)
	for what, tt := range map[string]struct {
		topic     string
		partition int32
		replicas  []int32
		want      *kerr.Error
	}{
		"what it has":       {"a", 0, []int32{1}, nil},
		"cancel":            {"a", 0, nil, kerr.NoReassignmentInProgress},
		"nobody":            {"a", 0, []int32{}, kerr.InvalidReplicaAssignment},
		"twice":             {"a", 0, []int32{1, 1}, kerr.InvalidReplicaAssignment},
		"unknown broker":    {"a", 0, []int32{7}, kerr.InvalidReplicaAssignment},
		"another":           {"a", 0, []int32{2}, kerr.InvalidReplicaAssignment},
		"one more":          {"a", 0, []int32{1, 2}, kerr.InvalidReplicaAssignment},
		"unknown partition": {"a", 1, []int32{1}, kerr.UnknownTopicOrPartition},
		"before the first":  {"a", -1, nil, kerr.UnknownTopicOrPartition},
		"unknown topic":     {"b", 0, []int32{1}, kerr.UnknownTopicOrPartition},
	} {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.Version = 1
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: tt.topic,
			Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: tt.partition, Replicas: tt.replicas}}}}
		resp := call[*kmsg.AlterPartitionAssignmentsResponse](c, req)
		wantCode(t, what, resp.Topics[0].Partitions[0].ErrorCode, tt.want)
	}
	if resp := call[*kmsg.ListPartitionReassignmentsResponse](c, kmsg.NewPtrListPartitionReassignmentsRequest()); resp.ErrorCode != 0 || len(resp.Topics) != 0 {
		t.Errorf("reassignments: %+v", resp)
	}
	if c.proposed != 1 {
		t.Errorf("%d changes, want only that of the topic", c.proposed)
	}
}

func TestWhatThereIsNoneOf(t *testing.T) {
	c := newCluster(t, nil)
	list := kmsg.NewPtrListTransactionsRequest()
	list.Version, list.StateFilters = 2, []string{"Ongoing", "foo", "foo", "PrepareEpochFence"}
	if resp := call[*kmsg.ListTransactionsResponse](c, list); resp.ErrorCode != 0 || len(resp.TransactionStates) != 0 || fmt.Sprint(resp.UnknownStateFilters) != "[foo]" {
		t.Errorf("transactions: %+v", resp)
	}
	list.TransactionalIDPattern = ptr("(")
	wantCode(t, "a bad pattern", call[*kmsg.ListTransactionsResponse](c, list).ErrorCode, kerr.InvalidRegularExpression)
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = []string{"a", ""}
	states := call[*kmsg.DescribeTransactionsResponse](c, describe).TransactionStates
	wantCode(t, "a transaction", states[0].ErrorCode, kerr.TransactionalIDNotFound)
	wantCode(t, "an empty transactional id", states[1].ErrorCode, kerr.InvalidRequest)
	if resp := call[*kmsg.DescribeClientQuotasResponse](c, kmsg.NewPtrDescribeClientQuotasRequest()); resp.ErrorCode != 0 || resp.Entries == nil || len(resp.Entries) != 0 {
		t.Errorf("quotas: %+v", resp)
	}
	scram := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	if resp := call[*kmsg.DescribeUserSCRAMCredentialsResponse](c, scram); resp.ErrorCode != 0 || len(resp.Results) != 0 {
		t.Errorf("SCRAM: %+v", resp)
	}
	wantCode(t, "ACLs", call[*kmsg.DescribeACLsResponse](c, &kmsg.DescribeACLsRequest{Version: 3}).ErrorCode, kerr.SecurityDisabled)
}

// Requests whose effect would not be kept are refused.
func TestWhatIsNotKeptIsRefused(t *testing.T) {
	c := newCluster(t, nil)
	quotas := kmsg.NewPtrAlterClientQuotasRequest()
	quotas.Version = 1
	quotas.Entries = []kmsg.AlterClientQuotasRequestEntry{{Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: ptr("a")}},
		Ops: []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1}}}}
	entries := call[*kmsg.AlterClientQuotasResponse](c, quotas).Entries
	if wantCode(t, "a quota", entries[0].ErrorCode, kerr.UnsupportedVersion); *entries[0].Entity[0].Name != "a" {
		t.Errorf("of %+v", entries[0].Entity)
	}
	scram := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	scram.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: "a", Mechanism: 1}, {Name: "a", Mechanism: 2}}
	scram.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "b", Mechanism: 1}}
	results := call[*kmsg.AlterUserSCRAMCredentialsResponse](c, scram).Results
	if len(results) != 2 {
		t.Fatalf("%d results of two users", len(results))
	}
	wantCode(t, "a user", results[0].ErrorCode, kerr.UnsupportedSaslMechanism)
	wantCode(t, "a user to be deleted", results[1].ErrorCode, kerr.ResourceNotFound)
	scram.Upsertions, scram.Deletions[0].Mechanism = nil, 9
	wantCode(t, "an unknown mechanism", call[*kmsg.AlterUserSCRAMCredentialsResponse](c, scram).Results[0].ErrorCode, kerr.UnsupportedSaslMechanism)
	acls := kmsg.NewPtrCreateACLsRequest()
	acls.Version, acls.Creations = 3, make([]kmsg.CreateACLsRequestCreation, 2)
	for _, r := range call[*kmsg.CreateACLsResponse](c, acls).Results {
		wantCode(t, "an ACL", r.ErrorCode, kerr.SecurityDisabled)
	}
	features := kmsg.NewPtrUpdateFeaturesRequest()
	features.Version = 2
	wantCode(t, "no feature", call[*kmsg.UpdateFeaturesResponse](c, features).ErrorCode, nil)
	features.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "metadata.version", MaxVersionLevel: 20}}
	wantCode(t, "a feature", call[*kmsg.UpdateFeaturesResponse](c, features).ErrorCode, kerr.InvalidUpdateVersion)
	for i := range 20 {
		features.FeatureUpdates = append(features.FeatureUpdates, kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: fmt.Sprintf("group.version.%d", i), MaxVersionLevel: 1})
	}
	if said := *call[*kmsg.UpdateFeaturesResponse](c, features).ErrorMessage; !strings.Contains(said, "metadata.version") || !strings.Contains(said, "group.version.6") || !strings.Contains(said, "13 more") {
		t.Errorf("of 21 features: %s", said)
	}
	for id, want := range map[int32]*kerr.Error{1: kerr.InvalidRequest, 12345: kerr.BrokerIDNotRegistered} {
		wantCode(t, fmt.Sprint("broker ", id), call[*kmsg.UnregisterBrokerResponse](c, &kmsg.UnregisterBrokerRequest{BrokerID: id}).ErrorCode, want)
	}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	if resp := call[*kmsg.SASLHandshakeResponse](c, handshake); resp.ErrorCode != kerr.IllegalSaslState.Code || len(resp.SupportedMechanisms) != 0 {
		t.Errorf("a SASL handshake: %+v", resp)
	}
	wantCode(t, "SASL", call[*kmsg.SASLAuthenticateResponse](c, &kmsg.SASLAuthenticateRequest{Version: 2}).ErrorCode, kerr.IllegalSaslState)
	if c.proposed != 0 {
		t.Errorf("%d changes", c.proposed)
	}
}
