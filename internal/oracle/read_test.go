//go:build oracle

package oracle

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetch returns a sessionless request for the records of a partition from an offset.
func fetch(topic string, id [16]byte, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 0, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 1<<20
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

// fill writes n batches of one record each.
func (p *play) fill(topic string, id [16]byte, partition int32, n int) {
	p.t.Helper()
	for i := range n {
		p.until(produce(topic, id, partition, -1, batch(longAgo+int64(i)*1000, keyed("k", fmt.Sprint("v", i)))), func(r kmsg.Response) bool {
			return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0
		})
	}
}

func readScenarios() []scenario {
	return []scenario{
		{"fetch", 1, fetchPlain},
		{"fetch-sessions", 1, fetchSessions},
		{"list-offsets", 2, offsets},
		{"leader-epochs", 23, epochs},
		{"delete-records", 21, deleteRecords},
	}
}

func fetchPlain(p *play) {
	topic, id := p.topic("t", 2, "retention.ms", "-1")
	packed, packedID := p.topic("packed", 1, "retention.ms", "-1")
	p.fill(topic, id, 0, 5)
	p.until(produce(packed, packedID, 0, -1, compressed(4, val("a"), val("b"), val("c"))), func(r kmsg.Response) bool {
		return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0
	})
	p.do("from 0", fetch(topic, id, 0, 0))
	p.do("from 3", fetch(topic, id, 0, 3))
	p.do("at the end", fetch(topic, id, 0, 5))
	p.do("past the end", fetch(topic, id, 0, 6))
	p.do("negative", fetch(topic, id, 0, -1))
	p.do("empty partition", fetch(topic, id, 1, 0))
	p.do("unknown partition", fetch(topic, id, 9, 0))
	p.do("unknown topic", fetch(p.name("nobody"), [16]byte{4, 5, 6}, 0, 0))
	p.do("topic id 0", fetch("", [16]byte{}, 0, 0))
	p.do("inside a batch", fetch(packed, packedID, 0, 1))
	change := func(step string, f func(*kmsg.FetchRequest)) {
		req := fetch(topic, id, 0, 0)
		f(req)
		p.do(step, req)
	}
	change("max bytes 1", func(r *kmsg.FetchRequest) { r.MaxBytes = 1 })
	change("max bytes 0", func(r *kmsg.FetchRequest) { r.MaxBytes = 0 })
	change("max bytes -1", func(r *kmsg.FetchRequest) { r.MaxBytes = -1 })
	change("partition max bytes 1", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 1 })
	change("partition max bytes 150", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 150 })
	change("partition max bytes 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 0 })
	change("partition max bytes -1", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = -1 })
	change("partition max bytes -1 at the end", func(r *kmsg.FetchRequest) {
		r.Topics[0].Partitions[0].PartitionMaxBytes, r.Topics[0].Partitions[0].FetchOffset = -1, 5
	})
	change("min bytes not there", func(r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis = 1<<20, 50 })
	change("read committed", func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 })
	change("isolation level 2", func(r *kmsg.FetchRequest) { r.IsolationLevel = 2 })
	change("isolation level -1", func(r *kmsg.FetchRequest) { r.IsolationLevel = -1 })
	change("epoch 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 0 })
	change("later epoch", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 50 })
	change("last epoch 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 })
	change("later last epoch", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 50 })
	change("rack", func(r *kmsg.FetchRequest) { r.Rack = "here" })
	change("session id without epoch", func(r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 7, -1 })
	change("no topics", func(r *kmsg.FetchRequest) { r.Topics = []kmsg.FetchRequestTopic{} })
	change("partition twice", func(r *kmsg.FetchRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
	})
	change("partition twice, read on", func(r *kmsg.FetchRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetch(topic, id, 1, 0).Topics[0].Partitions...)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetch(topic, id, 0, 4).Topics[0].Partitions...)
	})
	change("topic twice", func(r *kmsg.FetchRequest) { r.Topics = append(r.Topics, fetch(topic, id, 1, 0).Topics...) })
	change("partition -1", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].Partition = -1 })
	change("offset -2", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = -2 })
	change("last offset there can be", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = math.MaxInt64 })
	change("min bytes -1", func(r *kmsg.FetchRequest) { r.MinBytes = -1 })
	change("max wait -1", func(r *kmsg.FetchRequest) { r.MaxWaitMillis = -1 })
	change("epoch -2", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = -2 })
	change("last epoch -2", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = -2 })
	change("no partitions", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions = []kmsg.FetchRequestTopicPartition{} })
	change("forgotten without session", func(r *kmsg.FetchRequest) {
		r.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: topic, TopicID: id, Partitions: []int32{0}}}
	})
	change("one unknown of two", func(r *kmsg.FetchRequest) {
		r.Topics = append(r.Topics, fetch(p.name("nobody"), [16]byte{4, 5, 6}, 0, 0).Topics...)
	})
	change("unknown twice", func(r *kmsg.FetchRequest) {
		r.Topics = fetch(topic, id, 9, 0).Topics
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
	})
	change("two partitions", func(r *kmsg.FetchRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetch(topic, id, 1, 0).Topics[0].Partitions...)
	})
}

func fetchSessions(p *play) {
	if p.version < 7 { // no sessions
		return
	}
	topic, id := p.topic("t", 3, "retention.ms", "-1")
	p.fill(topic, id, 0, 2)
	ask := func(step string, session, epoch int32, change func(*kmsg.FetchRequest)) int32 {
		req := fetch(topic, id, 0, 0)
		req.SessionID, req.SessionEpoch = session, epoch
		change(req)
		if r := p.do(step, req); r != nil {
			return r.(*kmsg.FetchResponse).SessionID
		}
		return 0
	}
	same := func(*kmsg.FetchRequest) {}
	nothing := func(r *kmsg.FetchRequest) { r.Topics = []kmsg.FetchRequestTopic{} }
	ask("unknown session", 12345, 1, same)
	s := ask("opened", 0, 0, func(r *kmsg.FetchRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetch(topic, id, 1, 0).Topics[0].Partitions...)
	})
	ask("again, not read on", s, 1, nothing)
	ask("read on", s, 2, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = 2 })
	ask("nothing new", s, 3, nothing)
	ask("epoch twice", s, 3, nothing)
	ask("epoch ahead", s, 40, nothing)
	p.fill(topic, id, 1, 1)
	ask("something new", s, 4, nothing)
	ask("a partition more", s, 5, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions = fetch(topic, id, 2, 0).Topics[0].Partitions })
	ask("an unknown partition more", s, 6, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions = fetch(topic, id, 9, 0).Topics[0].Partitions })
	ask("the unknown partition again", s, 7, nothing)
	ask("forgotten", s, 8, func(r *kmsg.FetchRequest) {
		r.Topics = []kmsg.FetchRequestTopic{}
		r.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: topic, TopicID: id, Partitions: []int32{1, 9}}}
	})
	ask("closed", s, -1, same)
	ask("after it was closed", s, 9, same)
	ask("epoch 5 without session", 0, 5, same)
}

func offsets(p *play) {
	topic, id := p.topic("t", 2, "retention.ms", "-1")
	p.fill(topic, id, 0, 5)
	ask := func(step string, partition int32, ts int64, change func(*kmsg.ListOffsetsRequest)) {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.Topics = listOffsets(topic, 1, ts)
		req.Topics[0].Partitions[0].Partition = partition
		if change != nil {
			change(req)
		}
		p.do(step, req)
	}
	for _, ts := range []int64{-1, -2, -3, -4, -5, -6, -7, -100, 0, longAgo, longAgo + 1, longAgo + 4000, longAgo + 4001, math.MaxInt64, math.MinInt64} {
		ask(fmt.Sprint("time ", ts), 0, ts, nil)
		ask(fmt.Sprint("empty, time ", ts), 1, ts, nil)
	}
	ask("unknown partition", 9, -1, nil)
	ask("unknown topic", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Topic = p.name("nobody") })
	ask("bad name", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Topic = "a b" })
	ask("read committed", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = 1 })
	ask("isolation level 5", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = 5 })
	ask("epoch 0", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 0 })
	ask("later epoch", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 50 })
	ask("replica -2", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = -2 })
	ask("no topics", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics = []kmsg.ListOffsetsRequestTopic{} })
	ask("timeout 0", 0, longAgo, func(r *kmsg.ListOffsetsRequest) { r.TimeoutMillis = 0 })
	ask("partition -1", -1, -1, nil)
	ask("no name", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Topic = "" })
	ask("epoch -2", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = -2 })
	ask("isolation level -1", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = -1 })
	ask("no partitions", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Partitions = []kmsg.ListOffsetsRequestTopicPartition{} })
	ask("replica 7", 0, -1, func(r *kmsg.ListOffsetsRequest) { r.ReplicaID = 7 })
	ask("partition twice", 0, -1, func(r *kmsg.ListOffsetsRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
	})
	ask("topic twice", 0, -1, func(r *kmsg.ListOffsetsRequest) {
		r.Topics = append(r.Topics, r.Topics[0])
		r.Topics[1].Partitions = []kmsg.ListOffsetsRequestTopicPartition{{Partition: 1, Timestamp: -2, CurrentLeaderEpoch: -1}}
	})
	ask("partition twice in two topics", 0, -1, func(r *kmsg.ListOffsetsRequest) {
		r.Topics = append(r.Topics, r.Topics[0])
		r.Topics[1].Partitions = []kmsg.ListOffsetsRequestTopicPartition{{Partition: 1, Timestamp: -2, CurrentLeaderEpoch: -1}, {Timestamp: -2, CurrentLeaderEpoch: -1}}
	})
	ask("unknown partition twice", 9, -1, func(r *kmsg.ListOffsetsRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
	})
	ask("unknown topic twice", 0, -1, func(r *kmsg.ListOffsetsRequest) {
		r.Topics[0].Topic = p.name("nobody")
		r.Topics = append(r.Topics, r.Topics[0])
	})
	ask("isolation level 5 twice", 0, -1, func(r *kmsg.ListOffsetsRequest) {
		r.IsolationLevel = 5
		r.Topics = append(r.Topics, r.Topics[0])
	})
	timeless, timelessID := p.topic("timeless", 1, "retention.ms", "-1")
	for range 2 {
		p.until(produce(timeless, timelessID, 0, -1, batch(-1, val("a"), val("b"))), func(r kmsg.Response) bool {
			return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0
		})
	}
	for _, ts := range []int64{-1, -2, -3, 0} {
		ask(fmt.Sprint("without times, time ", ts), 0, ts, func(r *kmsg.ListOffsetsRequest) { r.Topics[0].Topic = timeless })
	}
}

func epochs(p *play) {
	topic, id := p.topic("t", 2, "retention.ms", "-1")
	p.fill(topic, id, 0, 3)
	ask := func(step, topic string, partition, current, epoch, replica int32) {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID = replica
		part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		part.Partition, part.CurrentLeaderEpoch, part.LeaderEpoch = partition, current, epoch
		req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{part}}}
		p.do(step, req)
	}
	for _, epoch := range []int32{-2, -1, 0, 1, 50} {
		ask(fmt.Sprint("epoch ", epoch), topic, 0, -1, epoch, -1)
		ask(fmt.Sprint("empty, epoch ", epoch), topic, 1, -1, epoch, -1)
		ask(fmt.Sprint("current epoch ", epoch), topic, 0, epoch, 0, -1)
	}
	ask("replica -2", topic, 0, -1, 0, -2)
	ask("unknown partition", topic, 9, -1, 0, -1)
	ask("unknown topic", p.name("nobody"), 0, -1, 0, -1)
	ask("no name", "", 0, -1, 0, -1)
	ask("partition -1", topic, -1, -1, 0, -1)
	ask("lowest epoch", topic, 0, -1, math.MinInt32, -1)
	part := kmsg.OffsetForLeaderEpochRequestTopicPartition{CurrentLeaderEpoch: -1}
	other := kmsg.OffsetForLeaderEpochRequestTopicPartition{Partition: 1, CurrentLeaderEpoch: -1}
	twice := func(step string, topics ...kmsg.OffsetForLeaderEpochRequestTopic) {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID, req.Topics = -1, topics
		p.do(step, req)
	}
	twice("partition twice", kmsg.OffsetForLeaderEpochRequestTopic{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{part, part}})
	twice("topic twice", kmsg.OffsetForLeaderEpochRequestTopic{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{part}},
		kmsg.OffsetForLeaderEpochRequestTopic{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{other}})
	twice("no topics")
	twice("no partitions", kmsg.OffsetForLeaderEpochRequestTopic{Topic: topic})
}

func deleteRecords(p *play) {
	topic, id := p.topic("t", 2, "retention.ms", "-1")
	compacted, _ := p.topic("compacted", 1, "cleanup.policy", "compact")
	both, bothID := p.topic("both", 1, "cleanup.policy", "compact,delete", "retention.ms", "-1")
	p.fill(topic, id, 0, 5)
	p.fill(both, bothID, 0, 2)
	ask := func(step, topic string, partition int32, offset int64) {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: offset}}}}
		p.do(step, req)
	}
	kept, keptID := p.topic("kept", 1, "cleanup.policy", "", "retention.ms", "-1")
	p.fill(kept, keptID, 0, 2)
	ask("neither compacted nor deleted", kept, 0, 1)
	ask("to 0", topic, 0, 0)
	ask("to 2", topic, 0, 2)
	p.do("fetch below", fetch(topic, id, 0, 1))
	p.do("fetch from", fetch(topic, id, 0, 2))
	ask("back to 1", topic, 0, 1)
	ask("past the end", topic, 0, 6)
	ask("negative", topic, 0, -2)
	ask("all", topic, 0, -1)
	p.do("fetch the end", fetch(topic, id, 0, 5))
	ask("empty partition", topic, 1, -1)
	ask("empty partition to 1", topic, 1, 1)
	ask("unknown partition", topic, 9, 0)
	ask("unknown topic", p.name("nobody"), 0, 0)
	ask("no name", "", 0, 0)
	ask("partition -1", topic, -1, 0)
	ask("lowest offset", topic, 0, math.MinInt64)
	ask("highest offset", topic, 0, math.MaxInt64)
	ask("compacted", compacted, 0, 0)
	ask("compacted and deleted", both, 0, 1)
	twice := kmsg.NewPtrDeleteRecordsRequest()
	part := kmsg.DeleteRecordsRequestTopicPartition{Partition: 1, Offset: 0}
	twice.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{part, part}}}
	p.do("partition twice", twice)
	beyond := kmsg.DeleteRecordsRequestTopicPartition{Partition: 1, Offset: 7}
	twice.Topics[0].Partitions = []kmsg.DeleteRecordsRequestTopicPartition{beyond, part}
	p.do("partition twice, the last can be done", twice)
	twice.Topics[0].Partitions = []kmsg.DeleteRecordsRequestTopicPartition{part, beyond}
	p.do("partition twice, the first can be done", twice)
	twice.Topics[0].Partitions = []kmsg.DeleteRecordsRequestTopicPartition{part}
	twice.Topics = append(twice.Topics, kmsg.DeleteRecordsRequestTopic{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}, beyond}})
	p.do("topic twice", twice)
	empty := kmsg.NewPtrDeleteRecordsRequest()
	empty.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic}, {Topic: p.name("nobody")}}
	p.do("no partitions", empty)
	none := kmsg.NewPtrDeleteRecordsRequest()
	none.Topics = []kmsg.DeleteRecordsRequestTopic{}
	p.do("no topics", none)
}
