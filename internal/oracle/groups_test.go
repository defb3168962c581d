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
	// The life of a group, once for each API involved.
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

// member is a member of a classic group.
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

// enter joins the group. If the broker first assigns a member id, it joins again with that id.
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
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{group}
	p.do("describe, joined", describe)
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
	bad("join with a protocol twice", func(r *kmsg.JoinGroupRequest) { r.Protocols, r.MemberID = append(r.Protocols, r.Protocols[0]), nobody })
	bad("join without a session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 0 })
	bad("join with a negative session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 })
	bad("join with a long name", func(r *kmsg.JoinGroupRequest) { r.Group, r.MemberID = r.Group+strings.Repeat("n", 900), nobody })
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
		if step != "later generation" && step != "earlier generation" { // LeaveGroup has no generation
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
	both := m.leave()
	both.MemberID, both.Members = nobody, []kmsg.LeaveGroupRequestMember{{MemberID: nobody}, {MemberID: nobody}, {MemberID: ""}}
	p.do("nobody leaves twice", both)
	none := m.leave()
	if none.Members = []kmsg.LeaveGroupRequestMember{}; p.key != 13 || p.version >= 3 {
		p.do("nobody leaves", none)
	}
}

// staticMember plays a static member that rejoins under its instance id.
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
