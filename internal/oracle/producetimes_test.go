//go:build oracle

package oracle

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func produceTimes(p *play) {
	for _, kind := range []string{"CreateTime", "LogAppendTime"} {
		l := newLab(p, kind, 12, "retention.ms", "-1", "message.timestamp.type", kind)
		send := func(step string, b []byte) {
			l.send(kind+": "+step, b)
			for _, ts := range []int64{-3, longAgo + 6} {
				list := kmsg.NewPtrListOffsetsRequest()
				list.Topics = listOffsets(l.topic, 1, ts)
				list.Topics[0].Partitions[0].Partition = l.next - 1
				p.do(fmt.Sprintf("%s: %s > offset of %d", kind, step, ts), list)
			}
		}
		send("now", batch(now(), val("a")))
		send("long ago", batch(longAgo, val("a"), rec{value: []byte("b"), time: 5}))
		send("far off", batch(farOff, val("a")))
		send("no time", batch(-1, val("a")))
		send("negative time", batch(-7, val("a")))
		send("time 0", batch(0, val("a")))
		send("max time -1", with(batch(longAgo, val("a")), put64(atMaxTime, -1)))
		send("max time too low", with(batch(longAgo, val("a"), rec{value: []byte("b"), time: 500}), put64(atMaxTime, longAgo)))
		send("max time too high", with(batch(longAgo, val("a")), put64(atMaxTime, farOff)))
		send("first time of nobody", with(batch(longAgo, rec{value: []byte("b"), time: 500}), put64(atMaxTime, longAgo+500)))
		send("times fall", batch(longAgo, rec{value: []byte("a"), time: 9}, rec{value: []byte("b"), time: -9}))
		send("LogAppendTime bit", with(batch(longAgo, val("a"), rec{value: []byte("b"), time: 5}), put16(atAttribute, 1<<3)))
	}
}

func produceTimeBounds(p *play) {
	send := newLab(p, "t", 8, "message.timestamp.before.max.ms", "600000", "message.timestamp.after.max.ms", "60000", "retention.ms", "-1").send
	send("inside", batch(now(), val("a")))
	send("too old", batch(now()-1_200_000, val("a")))
	send("too new", batch(now()+1_200_000, val("a")))
	send("the second too old", batch(now(), val("a"), rec{value: []byte("b"), time: -1_200_000}, val("c")))
	send("the second too new", batch(now(), val("a"), rec{value: []byte("b"), time: 1_200_000}))
	send("only the header too new", with(batch(now(), val("a")), put64(atMaxTime, farOff)))
	send("packed, the second too old", compressed(1, val("a"), rec{value: []byte("b"), time: -1_200_000}))
	send("no time", batch(-1, val("a")))
	open := newLab(p, "open", 1, "message.timestamp.after.max.ms", "9223372036854775807", "retention.ms", "-1")
	open.send("far off where that is allowed", batch(farOff, val("a")))
}

func produceIdempotent(p *play) {
	topic, id := p.topic("t", 10)
	resp := p.do("id", kmsg.NewPtrInitProducerIDRequest())
	if resp == nil {
		return
	}
	me := resp.(*kmsg.InitProducerIDResponse).ProducerID
	send := func(step string, b []byte) { p.do(step, produce(topic, id, 0, -1, b)) }
	alone := int32(2)
	apart := func(step string, b []byte) {
		p.do(step, produce(topic, id, alone, -1, b))
		alone++
	}
	one := func(epoch int16, sequence int32) []byte { return from(me, epoch, sequence, batch(now(), val("a"))) }
	send("sequence 0", one(0, 0))
	send("sequence 1", one(0, 1))
	send("sequence 1 again", one(0, 1))
	send("sequence 0 again", one(0, 0))
	send("a gap", one(0, 5))
	send("two at once", from(me, 0, 2, batch(now(), val("b"), val("c"))))
	send("half of what was sent", one(0, 2))
	send("overlap", from(me, 0, 3, batch(now(), val("b"), val("c"))))
	send("negative sequence", one(0, -2))
	send("a later epoch not from 0", one(1, 4))
	send("a later epoch", one(1, 0))
	send("an earlier epoch", one(0, 4))
	apart("an unknown producer, not from 0", from(me+900_000, 0, 4, batch(now(), val("a"))))
	apart("an unknown producer", from(me+900_001, 0, 0, batch(now(), val("a"))))
	apart("a producer without sequence", from(me, 1, -1, batch(now(), val("a"))))
	apart("no producer with a sequence", from(-1, -1, 4, batch(now(), val("a"))))
	apart("producer -2", from(-2, 0, 0, batch(now(), val("a"))))
	apart("epoch -1", from(me, -1, 0, batch(now(), val("a"))))
	p.do("two batches", produce(topic, id, 1, -1, from(me, 1, 0, batch(now(), val("a"))), from(me, 1, 1, batch(now(), val("b")))))
	apart("the last sequence", from(me+900_002, 0, 0x7fffffff, batch(now(), val("a"))))
	p.stored("stored", topic, id, 0)
	producers := kmsg.NewPtrDescribeProducersRequest()
	producers.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0, 1, 9}}}
	p.do("producers", producers)
}
