package kafka

import (
	"fmt"
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
		wantCode(t, "one that has a leader", resp.Topics[0].Partitions[0].ErrorCode, kerr.ElectionNotNeeded)
		wantCode(t, "an unknown partition", resp.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition)
		wantCode(t, "an unknown topic", resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
		wantCode(t, "one without a leader", resp.Topics[2].Partitions[0].ErrorCode, offline)
		all := ask(kind)
		if len(all.Topics) != 2 || len(all.Topics[0].Partitions) != 0 || len(all.Topics[1].Partitions) != 1 {
			t.Errorf("all: %+v", all.Topics)
		}
	}
	wantCode(t, "another kind of election", ask(2).ErrorCode, kerr.InvalidRequest)
}
