//go:build oracle

package oracle

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupScenarios() []scenario {
	out := []scenario{
		{"coordinator", 10, coordinators},
		{"offset-commit-simple", 8, simpleCommits},
		{"consumer-group", 68, consumerGroup},
		{"consumer-group-describe", 69, consumerGroup},
	}
	// The life of a group, once for each API that takes part in it.
	for name, key := range map[string]int16{"join-group": 11, "sync-group": 14, "heartbeat": 12, "leave-group": 13, "describe-groups": 15, "list-groups": 16,
		"delete-groups": 42, "offset-commit": 8, "offset-fetch": 9, "offset-delete": 47} {
		out = append(out, scenario{name, key, func(p *play) {
			p.narrow = true
			classicGroup(p)
		}})
	}
	return out
}

func coordinators(p *play) {
	ask := func(step string, kind int8, names ...string) {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKeys = kind, names
		if len(names) > 0 {
			req.CoordinatorKey = names[0]
		}
		p.do(step, req)
	}
	ask("group", 0, p.name("g"))
	ask("no name", 0, "")
	ask("transaction", 1, p.name("tx"))
	ask("share group", 2, p.name("g")+":AAAAAAAAAAAAAAAAAAAAAA:0")
	ask("share group without topic", 2, p.name("g"))
	ask("type 9", 9, p.name("g"))
	if p.version >= 4 {
		ask("two", 0, p.name("g"), p.name("h"))
		ask("the same twice", 0, p.name("g"), p.name("g"))
		ask("none", 0)
	}
}

// member is one of a classic group.
type member struct {
	p                   *play
	group, id, instance string
	generation          int32
}

func (m *member) static() *string {
	if m.instance == "" {
		return nil
	}
	return &m.instance
}

func (m *member) join() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID = m.group, m.id, m.static()
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 10_000, 10_000, "consumer"
	var subscription kmsg.ConsumerMemberMetadata
	subscription.Topics = []string{m.p.name("t")}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription.AppendTo(nil)}}
	return req
}

func (m *member) joined(r kmsg.Response) bool {
	j, ok := r.(*kmsg.JoinGroupResponse)
	if !ok {
		return false
	}
	if j.MemberID != "" {
		m.id = j.MemberID
	}
	m.generation = j.Generation
	return j.ErrorCode == 0
}

// enter joins, a second time with the id that a new member is given first.
func (m *member) enter(step string) {
	if !m.joined(m.p.do(step, m.join())) && m.id != "" {
		m.joined(m.p.do(step+" with its id", m.join()))
	}
}

func (m *member) sync(assign ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.static(), m.generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for i, id := range assign {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(fmt.Sprint("part ", i))})
	}
	return req
}

func (m *member) beat() *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.static(), m.generation
	return req
}

func (m *member) leave() *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.id, InstanceID: m.static()}}
	return req
}

func (m *member) commit(topic string, id [16]byte, partition int32, offset int64, note string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.static(), m.generation
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Partition, part.Offset, part.Metadata = partition, offset, &note
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{part}}}
	return req
}

// committed asks for offsets; with no partitions for all.
func committed(group, topic string, id [16]byte, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if len(partitions) > 0 {
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: partitions}}
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: id, Partitions: partitions}}
	}
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	return req
}

func classicGroup(p *play) {
	topic, id := p.topic("t", 2)
	group := p.name("g")
	first := &member{p: p, group: group, generation: -1}
	badJoins(p, group)
	first.enter("first joins")
	p.do("heartbeat before the assignment", first.beat())
	p.do("first syncs", first.sync(first.id))
	p.do("first syncs again", first.sync(first.id))
	badMembers(p, first)
	badOffsets(p, first, topic, id)
	askGroups(p, "stable", group)
	deletions(p, "stable", group, topic)
	second := &member{p: p, group: group, generation: -1}
	if p.version >= 4 || p.key != 11 {
		second.joined(p.do("second asks for an id", second.join()))
	}
	end := p.start("second joins", second.join())
	rebalancing := func(r kmsg.Response) bool { return r.(*kmsg.HeartbeatResponse).ErrorCode == 27 }
	if p.key != 12 {
		p.until(first.beat(), rebalancing)
	} else {
		p.until(first.beat(), rebalancing)
		p.do("heartbeat in a rebalance", first.beat())
	}
	p.do("sync in a rebalance", first.sync(first.id))
	p.do("commit in a rebalance", first.commit(topic, id, 0, 4, "m"))
	askGroups(p, "rebalancing", group)
	first.joined(p.do("first joins again", first.join()))
	second.joined(end())
	p.do("first gives out both parts", first.sync(first.id, second.id))
	p.do("second gets its part", second.sync())
	p.do("first leaves", first.leave())
	p.do("first leaves again", first.leave())
	p.do("second leaves", second.leave())
	askGroups(p, "empty", group)
	deletions(p, "empty", group, topic)
	staticMember(p, topic, id)
}

func badJoins(p *play, group string) {
	bad := func(step string, change func(*kmsg.JoinGroupRequest)) {
		m := &member{p: p, group: group + "-refused"}
		req := m.join()
		change(req)
		p.do(step, req)
	}
	bad("join with an unknown id", func(r *kmsg.JoinGroupRequest) { r.MemberID = nobody })
	bad("join with a short session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 })
	bad("join with a long session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 << 30 })
	bad("join without a group", func(r *kmsg.JoinGroupRequest) { r.Group = "" })
	bad("join without a type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
	bad("join without protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = []kmsg.JoinGroupRequestProtocol{} })
}

func badMembers(p *play, m *member) {
	twist := func(change func(*member)) *member {
		other := *m
		change(&other)
		return &other
	}
	p.do("heartbeat", m.beat())
	for _, bad := range []struct {
		step  string
		other *member
	}{
		{"later generation", twist(func(m *member) { m.generation += 5 })},
		{"earlier generation", twist(func(m *member) { m.generation-- })},
		{"unknown member", twist(func(m *member) { m.id = nobody })},
		{"no member", twist(func(m *member) { m.id = "" })},
		{"unknown group", twist(func(m *member) { m.group += "-none" })},
		{"no group", twist(func(m *member) { m.group = "" })},
	} {
		step, other := bad.step, bad.other
		p.do("heartbeat, "+step, other.beat())
		p.do("sync, "+step, other.sync())
		if step != "later generation" && step != "earlier generation" { // which a leave does not have
			p.do("leave, "+step, other.leave())
		}
	}
	wrong := m.join()
	wrong.MemberID, wrong.ProtocolType = "", "connect"
	p.do("join with another type", wrong)
	wrong = m.join()
	wrong.MemberID, wrong.Protocols[0].Name = "", "other"
	p.do("join with another protocol", wrong)
	sync := m.sync()
	sync.Protocol = kmsg.StringPtr("other")
	p.do("sync with another protocol", sync)
	sync = m.sync()
	sync.ProtocolType = kmsg.StringPtr("connect")
	p.do("sync with another type", sync)
	none := m.leave()
	if none.Members = []kmsg.LeaveGroupRequestMember{}; p.key != 13 || p.version >= 3 {
		p.do("nobody leaves", none)
	}
}

func badOffsets(p *play, m *member, topic string, id [16]byte) {
	unknown := [16]byte{3}
	twist := func(change func(*member)) *member {
		other := *m
		change(&other)
		return &other
	}
	p.do("commit", m.commit(topic, id, 0, 3, "note"))
	p.do("commit, epoch", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 1, 7, "")
		r.Topics[0].Partitions[0].LeaderEpoch = 0
		return r
	}())
	p.do("commit, unknown partition", m.commit(topic, id, 9, 3, ""))
	p.do("commit, unknown topic", m.commit(p.name(nobody), unknown, 0, 3, ""))
	p.do("commit, negative offset", m.commit(topic, id, 0, -1, ""))
	p.do("commit, large metadata", m.commit(topic, id, 0, 3, strings.Repeat("x", 4097)))
	p.do("commit, largest metadata", m.commit(topic, id, 0, 3, strings.Repeat("x", 4096)))
	p.do("commit, later generation", twist(func(m *member) { m.generation += 5 }).commit(topic, id, 0, 9, ""))
	p.do("commit, unknown member", twist(func(m *member) { m.id = nobody }).commit(topic, id, 0, 9, ""))
	p.do("commit, no member", twist(func(m *member) { m.id, m.generation = "", -1 }).commit(topic, id, 0, 9, ""))
	p.do("commit, no group", twist(func(m *member) { m.group = "" }).commit(topic, id, 0, 9, ""))
	p.do("commit, unknown group", twist(func(m *member) { m.group += "-none" }).commit(topic, id, 0, 9, ""))
	p.do("commit, no topics", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 0, 9, "")
		r.Topics = []kmsg.OffsetCommitRequestTopic{}
		return r
	}())
	p.do("offsets", committed(m.group, topic, id, 0, 1))
	p.do("offsets, unknown partition", committed(m.group, topic, id, 0, 9))
	p.do("offsets, unknown topic", committed(m.group, p.name(nobody), unknown, 0))
	p.do("offsets, unknown group", committed(m.group+"-none", topic, id, 0))
	p.do("offsets, no group", committed("", topic, id, 0))
	if p.key != 9 || p.version >= 2 {
		p.do("all offsets", committed(m.group, topic, id))
		p.do("all offsets, unknown group", committed(m.group+"-none", topic, id))
	}
	stable := committed(m.group, topic, id, 0)
	stable.RequireStable = p.key != 9 || p.version >= 7
	p.do("stable offsets", stable)
	if p.key == 9 && p.version >= 8 {
		two := committed(m.group, topic, id, 0)
		two.Groups = append(two.Groups, committed(m.group+"-none", topic, id, 0).Groups...)
		p.do("two groups", two)
		two = committed(m.group, topic, id, 0)
		two.Groups[0].MemberID, two.Groups[0].MemberEpoch = kmsg.StringPtr(m.id), 4
		p.do("offsets for a member", two)
	}
}

func askGroups(p *play, when, group string) {
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{group}
	p.do("describe, "+when, describe)
	describe.Groups = []string{group, group + "-none", ""}
	p.do("describe, some unknown, "+when, describe)
	describe.Groups = []string{group, group}
	describe.IncludeAuthorizedOperations = p.key != 15 || p.version >= 3
	p.do("describe twice, "+when, describe)
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
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	p.do("delete, "+when, req)
	p.do("delete again, "+when, req)
	req.Groups = []string{group + "-none", ""}
	p.do("delete unknown, "+when, req)
	req.Groups = []string{group + "-none", group + "-none"}
	p.do("delete unknown twice, "+when, req)
}

// staticMember comes back under its name.
func staticMember(p *play, topic string, id [16]byte) {
	if p.key == 11 && p.version < 5 || p.key == 14 && p.version < 3 || p.key == 12 && p.version < 3 || p.key == 13 && p.version < 3 || p.key == 8 && p.version < 7 {
		return
	}
	m := &member{p: p, group: p.name("static"), instance: "one", generation: -1}
	m.enter("static joins")
	p.do("static syncs", m.sync(m.id))
	p.do("static heartbeat", m.beat())
	again := &member{p: p, group: m.group, instance: "one", generation: -1}
	again.enter("static comes back")
	p.do("static heartbeat with the old id", m.beat())
	p.do("static commit with the old id", m.commit(topic, id, 0, 1, ""))
	p.do("static sync with the old id", m.sync())
	p.do("static heartbeat with the new id", again.beat())
	p.do("describe the static", func() kmsg.Request {
		r := kmsg.NewPtrDescribeGroupsRequest()
		r.Groups = []string{m.group}
		return r
	}())
	p.do("static leaves with the old id", m.leave())
	leave := again.leave()
	leave.Members[0].MemberID = ""
	p.do("static leaves by its name", leave)
	p.do("static leaves by its name again", leave)
}

// simpleCommits are those of clients that are in no group.
func simpleCommits(p *play) {
	topic, id := p.topic("t", 1)
	m := &member{p: p, group: p.name("g"), generation: -1}
	p.do("first", m.commit(topic, id, 0, 5, "x"))
	p.do("offsets", committed(m.group, topic, id, 0))
	m.group = p.name("h")
	m.generation, m.id = 3, "somebody"
	p.do("with a generation", m.commit(topic, id, 0, 5, "x"))
	p.do("offsets with a generation", committed(m.group, topic, id, 0))
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{p.name("g"), p.name("h")}
	p.do("described", describe)
	p.do("listed", kmsg.NewPtrListGroupsRequest())
}

// consumerGroup is the life of a group of KIP-848.
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
