//go:build oracle

package oracle

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produce is a request to one partition.
func produce(p *play, topic string, id [16]byte, partition int32, acks int16, batches ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, []byte{}
	for _, b := range batches {
		part.Records = append(part.Records, b...)
	}
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

func now() int64 { return time.Now().UnixMilli() }

func produceScenarios() []scenario {
	return []scenario{
		{"produce", 0, func(p *play) {
			topic, id := p.topic("t", 2)
			p.do("one record", produce(p, topic, id, 0, -1, batch(now(), val("a"))))
			p.do("three records", produce(p, topic, id, 0, 1, batch(now(), val("a"), keyed("k", "b"), rec{})))
			p.do("acks 2", produce(p, topic, id, 0, 2, batch(now(), val("a"))))
			p.do("unknown partition", produce(p, topic, id, 7, 1, batch(now(), val("a"))))
			p.do("unknown topic", produce(p, p.name("nobody"), [16]byte{1, 2, 3}, 0, 1, batch(now(), val("a"))))
			b := batch(now(), val("a"))
			b[atRecords+3]++
			p.do("wrong CRC", produce(p, topic, id, 1, 1, b))
			p.do("wrong count", produce(p, topic, id, 1, 1, with(batch(now(), val("a")), put32(atCount, 2))))
		}},
	}
}
