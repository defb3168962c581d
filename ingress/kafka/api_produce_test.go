package kafka

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// produceOf builds a request with one append for each of partitions 0, 1, 2... of t.
func produceOf(version, acks int16, t *meta.Topic, records ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 1000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = t.Name, t.ID
	for i, r := range records {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), r
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func TestProduceAnswersEachPartition(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 4)
	c.settle = func(appends []flow.Append) error {
		appends[0].BaseOffset, appends[0].LogAppendTime = 7, 12345
		appends[1].Err = idempotence.ErrOutOfOrder
		appends[2].Duplicate, appends[2].BaseOffset = true, 5
		return nil
	}
	b := batch(t, nil)
	resp := call[*kmsg.ProduceResponse](c, produceOf(12, -1, orders, b, b, b, nil, b))
	p := resp.Topics[0].Partitions
	wantCode(t, "written", p[0].ErrorCode, nil)
	if p[0].BaseOffset != 7 || p[0].LogAppendTime != 12345 || p[0].LogStartOffset != 0 {
		t.Errorf("written: %+v", p[0])
	}
	wantCode(t, "refused by the pipeline", p[1].ErrorCode, kerr.OutOfOrderSequenceNumber)
	if p[1].BaseOffset != -1 || p[1].ErrorMessage == nil {
		t.Errorf("refused: %+v", p[1])
	}
	wantCode(t, "a retry", p[2].ErrorCode, nil)
	if p[2].BaseOffset != 5 {
		t.Errorf("a retry: %+v", p[2])
	}
	wantCode(t, "no batch", p[3].ErrorCode, kerr.InvalidRecord)
	wantCode(t, "no such partition", p[4].ErrorCode, kerr.UnknownTopicOrPartition)
	a := c.appended[0]
	if len(a) != 3 || a[0].Acks != flow.AcksAll || a[2].Partition != (topic.Partition{Topic: orders.ID, Index: 2}) || a[2].State != c.state(orders, 2) {
		t.Errorf("appends: %+v", a)
	}
}

func TestProduceRefusesWhatIsNotOneSoundBatch(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	b := batch(t, nil)
	old := append([]byte(nil), b...)
	old[magicAt] = 1
	codec5 := append([]byte(nil), b...)
	codec5[22] = 5
	for _, tt := range []struct {
		name    string
		version int16
		records []byte
		want    *kerr.Error
	}{
		{"one batch", 3, b, nil},
		{"two batches", 9, append(append([]byte(nil), b...), b...), kerr.InvalidRecord},
		{"no bytes", 9, []byte{}, kerr.InvalidRecord},
		{"cut short", 9, b[:len(b)-1], kerr.InvalidRecord},
		{"a few bytes", 9, b[:5], kerr.InvalidRecord},
		{"message format v1", 9, old, kerr.InvalidRecord},
		{"transactional", 9, batch(t, func(b *record.Builder) { b.Transactional, b.ProducerID = true, 1 }), kerr.UnsupportedVersion},
		{"zstd", 7, batch(t, func(b *record.Builder) { b.Codec = record.Zstd }), nil},
		{"zstd in an old version", 6, batch(t, func(b *record.Builder) { b.Codec = record.Zstd }), kerr.UnsupportedCompressionType},
		{"an unknown codec", 9, codec5, kerr.UnsupportedCompressionType},
	} {
		resp := call[*kmsg.ProduceResponse](c, produceOf(tt.version, 1, orders, tt.records))
		wantCode(t, tt.name, resp.Topics[0].Partitions[0].ErrorCode, tt.want)
	}
}

func TestProduceRefusesWholeRequests(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	b := batch(t, nil)
	code := func(req *kmsg.ProduceRequest) int16 {
		return call[*kmsg.ProduceResponse](c, req).Topics[0].Partitions[0].ErrorCode
	}
	wantCode(t, "acks=2", code(produceOf(9, 2, orders, b)), kerr.InvalidRequiredAcks)
	transactional := produceOf(9, -1, orders, b)
	transactional.TransactionID = ptr("tx")
	wantCode(t, "transactional", code(transactional), kerr.UnsupportedVersion)
	wantCode(t, "unknown name", code(produceOf(12, -1, &meta.Topic{Name: "none"}, b)), kerr.UnknownTopicOrPartition)
	wantCode(t, "unknown id", code(produceOf(13, -1, &meta.Topic{ID: topic.NewID()}, b)), kerr.UnknownTopicID)
	wantCode(t, "known id", code(produceOf(13, -1, orders, b)), nil)
	if len(c.appended) != 1 {
		t.Errorf("%d requests reached the pipeline", len(c.appended))
	}
}

func TestProduceTellsWhoLeads(t *testing.T) {
	c := newCluster(t, nil)
	away := c.topic("away", 2)
	for i, p := range away.Partitions {
		p.Leader, p.Epoch = 2, 8
		c.table.Remove(topic.Partition{Topic: away.ID, Index: int32(i)})
	}
	b := batch(t, nil)
	resp := call[*kmsg.ProduceResponse](c, produceOf(10, 1, away, b, b))
	p := resp.Topics[0].Partitions[1]
	wantCode(t, "led elsewhere", p.ErrorCode, kerr.NotLeaderForPartition)
	if p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != 8 || len(resp.Brokers) != 1 || resp.Brokers[0].Port != 9093 {
		t.Errorf("leader %+v at %+v", p.CurrentLeader, resp.Brokers)
	}
}

func TestProduceOfAPipelineThatFailed(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 2)
	c.settle = func(appends []flow.Append) error {
		appends[0].Err = errOutside
		return errors.New("disk on fire")
	}
	b := batch(t, nil)
	p := call[*kmsg.ProduceResponse](c, produceOf(9, -1, orders, b, b)).Topics[0].Partitions
	wantCode(t, "refused before it failed", p[0].ErrorCode, kerr.InvalidTimestamp)
	wantCode(t, "failed", p[1].ErrorCode, kerr.KafkaStorageError)
}

func TestProduceWithoutAcks(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	if r := c.serve(produceOf(9, 0, orders, batch(t, nil))); !r.Silent || r.Close {
		t.Errorf("written: %+v", r)
	}
	if r := c.serve(produceOf(9, 0, orders, nil)); !r.Silent || !r.Close {
		t.Errorf("a refused acks=0 batch must close the connection: %+v", r)
	}
}

// The response waits for the pipeline, however long that takes.
func TestProduceIsAnsweredWhenItHasSettled(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	var done func(error)
	h := &produceHandler{lookup: c.deps.Lookup, code: c.deps.code, appender: appenderFunc(func(_ []flow.Append, d func(error)) { done = d })}
	answered := 0
	h.Serve(t.Context(), &Request{Body: produceOf(9, -1, orders, batch(t, nil))}, func(Response) { answered++ })
	if answered != 0 {
		t.Fatal("answered before the records were durable")
	}
	done(nil)
	if answered != 1 {
		t.Errorf("answered %d times", answered)
	}
}

func BenchmarkProduceOnePartition(b *testing.B) {
	c := newCluster(b, nil)
	orders := c.topic("orders", 1)
	h := &produceHandler{lookup: c.deps.Lookup, code: c.deps.code, appender: appenderFunc(func(_ []flow.Append, d func(error)) { d(nil) })}
	r := &Request{Body: produceOf(9, -1, orders, batch(b, nil))}
	reply := func(Response) {}
	b.ReportAllocs()
	for b.Loop() {
		h.Serve(b.Context(), r, reply)
	}
}
