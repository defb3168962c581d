//go:build oracle

package oracle

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func askGroups(p *play, when, group string) {
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{group}
	p.do("describe, "+when, describe)
	describe.Groups = []string{group, group + "-none", ""}
	p.do("describe, some unknown, "+when, describe)
	describe.Groups = []string{group, group}
	describe.IncludeAuthorizedOperations = p.key != 15 || p.version >= 3
	p.do("describe twice, "+when, describe)
	describe.Groups = []string{group + "-none"}
	p.do("describe unknown with operations, "+when, describe)
	p.do("list, "+when, kmsg.NewPtrListGroupsRequest())
	if p.key == 16 && p.version >= 4 {
		for _, state := range []string{"Stable", "stable", "Empty", "PreparingRebalance", "foo"} {
			list := kmsg.NewPtrListGroupsRequest()
			list.StatesFilter = []string{state}
			p.do("list "+state+", "+when, list)
		}
	}
	if p.key == 16 && p.version >= 5 {
		for _, kind := range []string{"classic", "Classic", "consumer", "share", "foo"} {
			list := kmsg.NewPtrListGroupsRequest()
			list.TypesFilter = []string{kind}
			p.do("list type "+kind+", "+when, list)
		}
	}
}

func deletions(p *play, when, group, topic string) {
	offsets := func(step, group, topic string, partitions ...int32) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		t := kmsg.OffsetDeleteRequestTopic{Topic: topic}
		for _, n := range partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: n})
		}
		req.Group, req.Topics = group, []kmsg.OffsetDeleteRequestTopic{t}
		p.do(step+", "+when, req)
	}
	offsets("delete offsets", group, topic, 0)
	offsets("delete offsets again", group, topic, 0)
	offsets("delete offsets, unknown partition", group, topic, 9)
	offsets("delete offsets, unknown topic", group, p.name(nobody), 0)
	offsets("delete offsets, unknown group", group+"-none", topic, 0)
	offsets("delete offsets, no group", "", topic, 0)
	offsets("delete offsets, partition -1", group, topic, -1)
	offsets("delete offsets, no partitions", group, topic)
	offsets("delete offsets, partition twice", group, topic, 0, 0)
	offsets("delete offsets, unknown partition twice", group, topic, 9, 9)
	twice := kmsg.NewPtrOffsetDeleteRequest()
	one := func(n int32) kmsg.OffsetDeleteRequestTopic {
		return kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: n}}}
	}
	twice.Group, twice.Topics = group, []kmsg.OffsetDeleteRequestTopic{one(0), one(1)}
	p.do("delete offsets, topic twice, "+when, twice)
	twice.Topics = []kmsg.OffsetDeleteRequestTopic{}
	p.do("delete offsets, no topics, "+when, twice)
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	p.do("delete, "+when, req)
	p.do("delete again, "+when, req)
	req.Groups = []string{group + "-none", ""}
	p.do("delete unknown, "+when, req)
	req.Groups = []string{strings.Repeat("n", 2000)}
	p.do("delete a long name, "+when, req)
	req.Groups = []string{group + "-none", group + "-none"}
	p.do("delete unknown twice, "+when, req)
}

// consumerGroup plays the life of a KIP-848 group.
func consumerGroup(p *play) {
	p.narrow = true
	topic, _ := p.topic("t", 1)
	beat := func(step, group, id string, epoch int32, change func(*kmsg.ConsumerGroupHeartbeatRequest)) {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = group, id, epoch
		if epoch == 0 {
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 10_000, []string{topic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}
		if change != nil {
			change(req)
		}
		p.do(step, req)
	}
	describe := func(step string, groups ...string) {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = groups
		p.do(step, req)
	}
	group := p.name("g")
	beat("no group", "", "m", 0, nil)
	beat("unknown group", group, "m", 4, nil)
	beat("no topics", group, "m", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil })
	beat("unknown assignor", group, "m", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("foo") })
	beat("owned partitions", group, "m", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: [16]byte{1}, Partitions: []int32{0}}}
	})
	beat("no rebalance timeout", group, "m", 0, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 })
	beat("joins", group, "AAAAAAAAAAAAAAAAAAAAAQ", 0, nil)
	describe("described", group)
	beat("wrong epoch", group, "AAAAAAAAAAAAAAAAAAAAAQ", 90, nil)
	beat("unknown member", group, "nobody", 1, nil)
	beat("leaves", group, "AAAAAAAAAAAAAAAAAAAAAQ", -1, nil)
	beat("leaves again", group, "AAAAAAAAAAAAAAAAAAAAAQ", -1, nil)
	describe("described, empty", group)
	describe("described, unknown", group+"-none", "")
}
