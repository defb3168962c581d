//go:build oracle

package oracle

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicScenarios() []scenario {
	return []scenario{
		{"create-topics", 19, createTopics},
		{"create-topics-names", 19, createNames},
		{"create-topics-configs", 19, createConfigs},
		{"delete-topics", 20, deleteTopics},
		{"create-partitions", 37, createPartitions},
		{"metadata", 3, metadata},
	}
}

func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor, t.Configs = name, partitions, replicas, config(configs...)
	return t
}

func create(validate bool, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.ValidateOnly = topics, validate
	return req
}

func assigned(name string, partitions int32, replicas int16, assignment ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := newTopic(name, partitions, replicas)
	for i, r := range assignment {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return t
}

func createTopics(p *play) {
	n := p.name
	p.do("one", create(false, newTopic(n("one"), 3, 1)))
	p.do("again", create(false, newTopic(n("one"), 3, 1)))
	p.do("again, validated", create(true, newTopic(n("one"), 3, 1)))
	p.do("validated", create(true, newTopic(n("validated"), 3, 1)))
	p.do("validated is not there", create(false, newTopic(n("validated"), 1, 1)))
	p.do("defaults", create(false, newTopic(n("defaults"), -1, -1)))
	p.do("configs", create(false, newTopic(n("configs"), 1, 1, "retention.ms", "1000", "cleanup.policy", "compact")))
	p.do("config twice", create(false, newTopic(n("config-twice"), 1, 1, "retention.ms", "1000", "retention.ms", "2000")))
	p.do("partitions 0", create(false, newTopic(n("zero"), 0, 1)))
	p.do("partitions -2", create(false, newTopic(n("minus"), -2, 1)))
	p.do("replicas 0", create(false, newTopic(n("no-replicas"), 1, 0)))
	p.do("replicas 2", create(false, newTopic(n("two-replicas"), 1, 2)))
	p.do("replicas -2", create(false, newTopic(n("minus-replicas"), 1, -2)))
	p.do("named twice", create(false, newTopic(n("twice"), 1, 1), newTopic(n("twice"), 1, 1), newTopic(n("beside"), 1, 1)))
	p.do("named twice is not there", create(true, newTopic(n("twice"), 1, 1), newTopic(n("beside"), 1, 1)))
	p.do("one of two is wrong", create(false, newTopic(n("good"), 1, 1), newTopic(n("bad"), 1, 9)))
	p.do("no topics", create(false, []kmsg.CreateTopicsRequestTopic{}...))
	p.do("assigned", create(false, assigned(n("assigned"), -1, -1, []int32{1}, []int32{1})))
	p.do("assigned and counted", create(false, assigned(n("both"), 2, 1, []int32{1}, []int32{1})))
	p.do("assigned to nobody", create(false, assigned(n("nobody"), -1, -1, []int32{})))
	p.do("assigned to an unknown broker", create(false, assigned(n("unknown"), -1, -1, []int32{77})))
	p.do("assigned twice to one", create(false, assigned(n("same"), -1, -1, []int32{1, 1})))
	gap := assigned(n("gap"), -1, -1, []int32{1}, []int32{1})
	gap.ReplicaAssignment[1].Partition = 5
	p.do("assigned with a gap", create(false, gap))
	null := newTopic(n("null"), 1, 1)
	null.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
	p.do("config null", create(false, null))
	hurried := create(false, newTopic(n("hurried"), 1, 1))
	hurried.TimeoutMillis = -1
	p.do("timeout -1", hurried)
	hurried = create(true, newTopic(n("hurried"), 1, 1), newTopic(n("hurried"), 1, 1), newTopic("a b", 1, 1))
	hurried.TimeoutMillis = -1
	p.do("timeout -1, validated", hurried)
}

func createNames(p *play) {
	pad := func(n int) string { return p.prefix + strings.Repeat("x", n-len(p.prefix)) }
	for step, name := range map[string]string{
		"empty": "", "dot": ".", "two dots": "..", "space": "a b", "slash": "a/b", "umlaut": "ä", "colon": "a:b", "249 bytes": pad(249), "250 bytes": pad(250),
		"three dots": "...", "cluster metadata": "__cluster_metadata", "newline": "a\nb",
	} {
		p.do(step, create(true, newTopic(name, 1, 1)))
	}
	p.topic("a.b", 1)
	p.do("collides", create(false, newTopic(p.name("a_b"), 1, 1)))
	p.do("collides, validated", create(true, newTopic(p.name("a_b"), 1, 1)))
	p.do("collide with each other", create(false, newTopic(p.name("c.d"), 1, 1), newTopic(p.name("c_d"), 1, 1)))
	for _, name := range []string{"__consumer_offsets", "__transaction_state", "__share_group_state"} {
		p.do(name, create(true, newTopic(name, 1, 1)))
	}
}

// createConfigs tries each value of each config, validating only: no topic is created.
func createConfigs(p *play) {
	n := 0 // makes topic names, and thus ids, unique
	try := func(step string, configs ...string) {
		n++
		p.do(step, create(true, newTopic(p.name(fmt.Sprint("t", n)), 1, 1, configs...)))
	}
	for _, c := range topicConfigs {
		for _, value := range c.values {
			try(fmt.Sprintf("%s=%s", c.name, value), c.name, value)
		}
	}
	for _, pair := range configPairs {
		try(strings.Join(pair, " "), pair...)
	}
}

func deleteTopics(p *play) {
	for _, name := range []string{"one", "two", "three", "four"} {
		p.topic(name, 1)
	}
	_, five := p.topic("five", 1)
	_, six := p.topic("six", 1)
	ask := func(step string, names ...string) {
		req := kmsg.NewPtrDeleteTopicsRequest()
		for _, n := range names {
			req.TopicNames = append(req.TopicNames, n)
			req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: kmsg.StringPtr(n)})
		}
		p.do(step, req)
	}
	ask("one", p.name("one"))
	ask("again", p.name("one"))
	ask("unknown", p.name("nobody"))
	ask("bad name", "a b")
	ask("empty name", "")
	ask("two at once, one unknown", p.name("two"), p.name("nobody"))
	ask("named twice", p.name("three"), p.name("three"), p.name("four"))
	ask("unknown, twice", p.name("nobody"), p.name("nobody"))
	ask("those of that request", p.name("three"), p.name("four"))
	hurried := kmsg.NewPtrDeleteTopicsRequest()
	hurried.TimeoutMillis, hurried.TopicNames = -1, []string{p.name("five")}
	hurried.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr(p.name("five"))}}
	p.do("timeout -1", hurried)
	none := kmsg.NewPtrDeleteTopicsRequest()
	none.TopicNames, none.Topics = []string{}, []kmsg.DeleteTopicsRequestTopic{}
	p.do("none", none)
	if p.version < 6 {
		return
	}
	byID := func(step string, topics ...kmsg.DeleteTopicsRequestTopic) {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Topics = topics
		p.do(step, req)
	}
	byID("by an unknown id", kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{7}})
	byID("by id 0", kmsg.DeleteTopicsRequestTopic{})
	byID("by name and id", kmsg.DeleteTopicsRequestTopic{Topic: kmsg.StringPtr(p.name("five")), TopicID: five})
	byID("by name, and by id", kmsg.DeleteTopicsRequestTopic{Topic: kmsg.StringPtr(p.name("five"))}, kmsg.DeleteTopicsRequestTopic{TopicID: five})
	byID("by id, and by name", kmsg.DeleteTopicsRequestTopic{TopicID: five}, kmsg.DeleteTopicsRequestTopic{Topic: kmsg.StringPtr(p.name("five"))})
	byID("by id twice", kmsg.DeleteTopicsRequestTopic{TopicID: six}, kmsg.DeleteTopicsRequestTopic{TopicID: six})
	byID("by id", kmsg.DeleteTopicsRequestTopic{TopicID: five})
	byID("by id again", kmsg.DeleteTopicsRequestTopic{TopicID: five})
}

func createPartitions(p *play) {
	topic, _ := p.topic("t", 2)
	other, _ := p.topic("other", 2)
	ask := func(step string, validate bool, topics ...kmsg.CreatePartitionsRequestTopic) {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Topics, req.ValidateOnly = topics, validate
		p.do(step, req)
	}
	grow := func(name string, count int32, assignment ...[]int32) kmsg.CreatePartitionsRequestTopic {
		t := kmsg.CreatePartitionsRequestTopic{Topic: name, Count: count}
		for _, replicas := range assignment {
			t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		return t
	}
	ask("validated", true, grow(topic, 3))
	ask("three", false, grow(topic, 3))
	ask("the same", false, grow(topic, 3))
	ask("fewer", false, grow(topic, 2))
	ask("none", false, grow(topic, 0))
	ask("negative", false, grow(topic, -1))
	ask("unknown topic", false, grow(p.name("nobody"), 3))
	ask("bad name", false, grow("a b", 3))
	ask("named twice", false, grow(topic, 4), grow(topic, 5), grow(other, 3))
	ask("the other of that request", false, grow(other, 3))
	ask("assigned", false, grow(topic, 4, []int32{1}))
	ask("assigned to an unknown broker", false, grow(topic, 5, []int32{77}))
	ask("assigned to nobody", false, grow(topic, 5, []int32{}))
	ask("assigned twice to one", false, grow(topic, 5, []int32{1, 1}))
	ask("too few assigned", false, grow(topic, 6, []int32{1}))
	ask("too many assigned", false, grow(topic, 5, []int32{1}, []int32{1}))
	ask("no topics", false, []kmsg.CreatePartitionsRequestTopic{}...)
	hurried := kmsg.NewPtrCreatePartitionsRequest()
	hurried.TimeoutMillis, hurried.Topics = -1, []kmsg.CreatePartitionsRequestTopic{grow(topic, 9)}
	p.do("timeout -1", hurried)
}

func metadata(p *play) {
	topic, id := p.topic("t", 2)
	ask := func(step string, change func(*kmsg.MetadataRequest), topics ...kmsg.MetadataRequestTopic) {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = topics
		if change != nil {
			change(req)
		}
		p.do(step, req)
	}
	named := func(s string) kmsg.MetadataRequestTopic { return kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(s)} }
	ask("one", nil, named(topic))
	ask("unknown", nil, named(p.name("nobody")))
	if p.version < 4 { // these always auto-create
		p.topic("nobody", 1)
	}
	ask("twice", nil, named(topic), named(topic))
	for step, name := range map[string]string{"empty name": "", "dot": ".", "space": "a b", "250 bytes": strings.Repeat("y", 250)} {
		ask(step, nil, named(name))
	}
	ask("bad name, made", func(r *kmsg.MetadataRequest) { r.AllowAutoTopicCreation = true }, named("a b"))
	ask("no topics", func(r *kmsg.MetadataRequest) { r.Topics = []kmsg.MetadataRequestTopic{} })
	ask("all topics", func(r *kmsg.MetadataRequest) { r.Topics = nil })
	ask("operations", func(r *kmsg.MetadataRequest) {
		r.IncludeClusterAuthorizedOperations, r.IncludeTopicAuthorizedOperations = true, true
	}, named(topic))
	auto := kmsg.NewPtrMetadataRequest()
	auto.AllowAutoTopicCreation = true
	auto.Topics = []kmsg.MetadataRequestTopic{named(p.name("auto"))}
	if p.version >= 4 {
		p.do("made", auto)
		p.topic("auto", 1)
		p.do("made before", auto)
	}
	if p.version < 10 {
		return
	}
	ask("by id", nil, kmsg.MetadataRequestTopic{TopicID: id})
	ask("by an unknown id", nil, kmsg.MetadataRequestTopic{TopicID: [16]byte{9}})
	ask("by name and id", nil, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(topic), TopicID: id})
	ask("by neither", nil, kmsg.MetadataRequestTopic{})
	ask("by id and name, apart", nil, kmsg.MetadataRequestTopic{TopicID: id}, kmsg.MetadataRequestTopic{TopicID: id}, named(p.name("nobody")), kmsg.MetadataRequestTopic{})
}
