//go:build oracle

package oracle

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// committed requests the committed offsets of partitions, or all of the group's if none are given.
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
	p.do("commit, unknown member, large metadata", twist(func(m *member) { m.id = nobody }).commit(topic, id, 0, 9, strings.Repeat("x", 4097)))
	p.do("commit, no member", twist(func(m *member) { m.id, m.generation = "", -1 }).commit(topic, id, 0, 9, ""))
	p.do("commit, no group", twist(func(m *member) { m.group = "" }).commit(topic, id, 0, 9, ""))
	p.do("commit, unknown group", twist(func(m *member) { m.group += "-none" }).commit(topic, id, 0, 9, ""))
	p.do("commit, no topics", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 0, 9, "")
		r.Topics = []kmsg.OffsetCommitRequestTopic{}
		return r
	}())
	p.do("commit, partition twice", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 0, 11, "a")
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, m.commit(topic, id, 0, 3, "b").Topics[0].Partitions...)
		return r
	}())
	p.do("commit, topic twice", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 0, 3, "a")
		r.Topics = append(r.Topics, m.commit(topic, id, 1, 7, "b").Topics...)
		return r
	}())
	p.do("commit, some unknown", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 0, 3, "a")
		r.Topics = append(r.Topics, m.commit(p.name(nobody), unknown, 0, 3, "").Topics...)
		r.Topics = append(r.Topics, m.commit("", [16]byte{}, 0, 3, "").Topics...)
		return r
	}())
	p.do("commit, partition -1", m.commit(topic, id, -1, 3, ""))
	p.do("commit, no name", m.commit("", id, 0, 3, ""))
	p.do("commit, no partitions", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 0, 3, "")
		r.Topics[0].Partitions = []kmsg.OffsetCommitRequestTopicPartition{}
		return r
	}())
	p.do("commit, no metadata", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 1, 7, "")
		r.Topics[0].Partitions[0].Metadata = nil
		return r
	}())
	p.do("offsets without metadata", committed(m.group, topic, id, 1))
	p.do("commit, lowest offset", m.commit(topic, id, 1, -1<<63, "low"))
	p.do("offsets, lowest", committed(m.group, topic, id, 1))
	p.do("commit, epoch -5", func() *kmsg.OffsetCommitRequest {
		r := m.commit(topic, id, 1, 7, "")
		r.Topics[0].Partitions[0].LeaderEpoch = -5
		return r
	}())
	p.do("offsets, epoch -5", committed(m.group, topic, id, 1))
	p.do("offsets, no partitions", func() *kmsg.OffsetFetchRequest {
		r := committed(m.group, topic, id, 0)
		r.Topics[0].Partitions, r.Groups[0].Topics[0].Partitions = nil, nil
		return r
	}())
	p.do("offsets, partition -1", committed(m.group, topic, id, -1))
	p.do("offsets, partition twice", committed(m.group, topic, id, 0, 0))
	p.do("offsets", committed(m.group, topic, id, 0, 1))
	p.do("offsets, neither name nor id", committed(m.group, "", [16]byte{}, 0))
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

// simpleCommits plays commits by clients that are not group members.
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
