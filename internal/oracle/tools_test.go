//go:build oracle

package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// toolScenarios are requests sent by tools and user interfaces, and requests for features that a
// broker may lack. They change nothing but their own topics.
func toolScenarios() []scenario {
	return append(securityScenarios(), []scenario{
		{"log-dirs", 35, logDirs},
		{"topic-partitions", 75, topicPartitions},
		{"elect-leaders", 43, electLeaders},
		{"producers", 61, describeProducers},
		{"config-resources", 74, func(p *play) {
			for _, kinds := range [][]int8{{}, {2}, {4}, {8}, {16}, {32}, {99}} {
				req := kmsg.NewPtrListConfigResourcesRequest()
				req.ResourceTypes = kinds
				if p.version > 0 || len(kinds) == 0 {
					p.do(fmt.Sprint("types ", kinds), req)
				}
			}
		}},
		{"reassignments", 46, func(p *play) {
			topic, _ := p.topic("t", 1)
			p.do("all", kmsg.NewPtrListPartitionReassignmentsRequest())
			req := kmsg.NewPtrListPartitionReassignmentsRequest()
			req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: topic, Partitions: []int32{0, 9}}}
			p.do("one", req)
		}},
		{"reassign", 45, func(p *play) {
			topic, _ := p.topic("t", 1)
			for step, replicas := range map[string][]int32{"cancel": nil, "the same": {1}, "unknown broker": {77}, "nobody": {}, "twice": {1, 1}} {
				req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
				req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: topic,
					Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: replicas}, {Partition: 9, Replicas: replicas}}}}
				p.do(step, req)
			}
		}},
		{"transactions", 66, func(p *play) {
			p.do("all", kmsg.NewPtrListTransactionsRequest())
			req := kmsg.NewPtrListTransactionsRequest()
			req.StateFilters, req.ProducerIDFilters = []string{"Ongoing", "foo"}, []int64{5}
			p.do("filtered", req)
			req = kmsg.NewPtrListTransactionsRequest()
			req.TransactionalIDPattern = kmsg.StringPtr("(")
			p.do("bad pattern", req)
		}},
		one("describe-transactions", func(p *play) kmsg.Request {
			req := kmsg.NewPtrDescribeTransactionsRequest()
			req.TransactionalIDs = []string{p.prefix + "tx", ""}
			return req
		}),
		{"update-features", 57, func(p *play) {
			p.do("none", kmsg.NewPtrUpdateFeaturesRequest())
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.ValidateOnly = true
			f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			f.Feature, f.MaxVersionLevel = "no.such.feature", 1
			req.FeatureUpdates = append(req.FeatureUpdates, f)
			p.do("unknown", req)
			req.FeatureUpdates = append(req.FeatureUpdates, f)
			p.do("unknown twice", req)
		}},
		{"quorum", 55, func(p *play) {
			req := kmsg.NewPtrDescribeQuorumRequest()
			req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: p.name("t"), Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
			p.do("another topic", req)
			req.Topics[0].Topic = "__cluster_metadata"
			p.do("metadata", req)
			req.Topics[0].Partitions[0].Partition = 1
			p.do("another partition", req)
			p.do("none", kmsg.NewPtrDescribeQuorumRequest())
		}},
		{"unknown-requests", 18, unknownRequests},
	}...)
}

// one returns a scenario of a single request.
func one(name string, request func(p *play) kmsg.Request) scenario {
	return scenario{name, request(&play{}).Key(), func(p *play) { p.do("asked", request(p)) }}
}

// unknownRequests sends frames with API keys and versions that neither broker advertises, once.
func unknownRequests(p *play) {
	if p.version != 4 {
		return
	}
	sent := map[int16][]int16{-1: {0}, 4: {0}, 52: {0}, 58: {0}, 62: {0}, 63: {0}, 67: {0}, 70: {0}, 95: {0}, 200: {0, 7}, 3: {-1, 14, 99}, 1: {3, 99}, 2: {0}, 19: {1, 8}, 60: {9}, 71: {0}, 18: {99}}
	for key, versions := range sent {
		for _, v := range versions {
			p.frame(fmt.Sprintf("key %d version %d", key, v), key, v)
		}
	}
}

// frame sends a request header with a body of zeros and records the raw outcome.
func (p *play) frame(step string, key, version int16) {
	p.t.Helper()
	c := p.dial()
	defer c.close()
	body := binary.BigEndian.AppendUint16(nil, uint16(key))
	body = binary.BigEndian.AppendUint16(body, uint16(version))
	body = binary.BigEndian.AppendUint32(body, 7)      // correlation id
	body = binary.BigEndian.AppendUint16(body, 0xffff) // no client id
	body = append(body, make([]byte, 16)...)
	said := "closed"
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err == nil {
		_, rest, err := c.receive()
		if said = outcome(err); err == nil {
			said = "answered: " + hex.EncodeToString(rest[:min(len(rest), 2)]) // usually the error code
		}
	}
	p.answers = append(p.answers, answer{step, map[string]string{"answer": said}})
}

func logDirs(p *play) {
	topic, id := p.topic("t", 2)
	p.fill(topic, id, 0, 1)
	ask := func(step string, topics ...kmsg.DescribeLogDirsRequestTopic) {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Topics = topics
		p.do(step, req)
	}
	ask("one", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{0, 1}})
	ask("unknown partition", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{9}})
	ask("unknown topic", kmsg.DescribeLogDirsRequestTopic{Topic: p.name("nobody"), Partitions: []int32{0}})
	ask("none", []kmsg.DescribeLogDirsRequestTopic{}...)
	ask("twice", kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{0, 0}}, kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: []int32{0}})
}

func topicPartitions(p *play) {
	topic, _ := p.topic("t", 3)
	other, _ := p.topic("u", 2)
	ask := func(step string, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = limit, cursor
		for _, t := range topics {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: t})
		}
		p.do(step, req)
	}
	ask("one", 2000, nil, topic)
	ask("two", 2000, nil, topic, other)
	ask("limited", 2, nil, topic, other)
	ask("limit 0", 0, nil, topic)
	ask("from a cursor", 2000, &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: 1}, topic, other)
	ask("cursor before the first partition", 2000, &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: -1}, topic)
	ask("unknown topic", 2000, nil, p.name("nobody"))
	ask("bad name", 2000, nil, "a b")
}

func electLeaders(p *play) {
	topic, _ := p.topic("t", 1)
	ask := func(step string, kind int8, topics ...kmsg.ElectLeadersRequestTopic) {
		req := kmsg.NewPtrElectLeadersRequest()
		req.ElectionType, req.Topics = kind, topics
		p.do(step, req)
	}
	ask("one", 0, kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{0}})
	ask("unknown partition", 0, kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{9}})
	ask("unknown topic", 0, kmsg.ElectLeadersRequestTopic{Topic: p.name("nobody"), Partitions: []int32{0}})
	if p.version >= 1 {
		ask("unclean", 1, kmsg.ElectLeadersRequestTopic{Topic: topic, Partitions: []int32{0}})
	}
}

func describeProducers(p *play) {
	topic, id := p.topic("t", 1)
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0, 9}}, {Topic: p.name("nobody"), Partitions: []int32{0}}}
	p.do("asked", req)
	for sequence := range int32(2) {
		now := time.Now().UnixMilli()
		p.until(produce(topic, id, 0, -1, from(77, 3, sequence, batch(now, val("v")))), func(r kmsg.Response) bool {
			return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0
		})
	}
	req.Topics = req.Topics[:1]
	p.do("one that wrote", req)
}
