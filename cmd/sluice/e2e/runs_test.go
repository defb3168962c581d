package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/record"
)

// sent is a produced batch with its offsets; end is exclusive.
type sent struct {
	base, end int64
	size      int
	times     []int64 // of its records
}

// For any offset, size or time, reads return the same batches as if the broker indexed each of them: at
// the tail, from the WAL after kill -9, above a log start in the middle of a run, and from objects.
func TestReadsAreCutBetweenBatches(t *testing.T) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	start := func(uploadMs int) *broker {
		b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[wal]
upload_interval_ms = %d
[admin]
listen = %q
`, dir, addr, uploadMs, admin), admin)
		b.dir, b.addr = dir, addr
		return b
	}
	b := start(3_600_000)
	b.must("", "topic", "create", "runs", "--partitions", "3", "--transport", "tcp")
	w := b.dial()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.RequestRetries(20))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := topicID(t, c, "runs")
	random := rand.New(rand.NewPCG(3, 7))
	var log []sent
	at := time.Now().Add(-time.Hour).UnixMilli()
	for range 60 { // requests with three partitions each, so that WAL groups mix partitions
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = produceVersion, -1, 60_000
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = "runs"
		var mine sent
		for p := range int32(3) {
			made := record.NewBuilder()
			var times []int64
			for range 1 + random.IntN(4) {
				at += random.Int64N(20) - 5 // not always increasing
				times = append(times, at)
				made.Add(at, nil, make([]byte, random.IntN([]int{10, 300, 40_000}[random.IntN(3)])))
			}
			batch, err := made.Build()
			if err != nil {
				t.Fatal(err)
			}
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = p, batch
			topic.Partitions = append(topic.Partitions, part)
			if p == 1 {
				mine = sent{size: len(batch), times: times}
			}
		}
		req.Topics = append(req.Topics, topic)
		w.frames = [][]byte{kmsg.NewRequestFormatter(kmsg.FormatterClientID("runs")).AppendRequest(nil, req, 0)}
		if err := errors.Join(w.send(), w.receive()); err != nil {
			t.Fatal(err)
		}
		for _, p := range w.resp.Topics[0].Partitions {
			if p.Partition == 1 {
				mine.base = p.BaseOffset
			}
		}
		mine.end = mine.base + int64(len(mine.times))
		log = append(log, mine)
	}
	check := func(when string, from int64) {
		t.Helper()
		for range 150 {
			checkFetch(t, c, id, log, from, random, when)
		}
		for range 60 {
			checkTime(t, c, log, from, log[0].times[0]+random.Int64N(at+20-log[0].times[0]), when)
		}
		newest := int64(-1)
		for _, s := range log {
			for i, ms := range s.times {
				if s.base+int64(i) >= from {
					newest = max(newest, ms)
				}
			}
		}
		checkTime(t, c, log, from, newest, when)
		if p := listOne(t, c, -3); p.Timestamp != newest {
			t.Errorf("%s: the newest record is of %d, found %+v", when, newest, p)
		}
	}
	check("at the tail", 0)
	b.kill()
	b = start(3_600_000)
	check("from the WAL", 0)
	middle := log[len(log)/3]
	from := middle.end - 1
	deleteBelow(t, c, from)
	check("behind a log start", from)
	b.kill()
	b = start(3_600_000)
	check("behind a log start, from the WAL", from)
	b.stop()
	b = start(1000)
	until(t, b, "everything is in objects", time.Minute, func() bool { return listOne(t, c, -5).Offset == log[len(log)-1].end-1 })
	check("from objects", from)
}

func topicID(t *testing.T, c *kgo.Client, name string) [16]byte {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = kmsg.StringPtr(name)
	req.Topics = append(req.Topics, mt)
	resp, err := req.RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Topics[0].TopicID
}

func checkFetch(t *testing.T, c *kgo.Client, id [16]byte, log []sent, from int64, random *rand.Rand, when string) {
	t.Helper()
	offset := from + random.Int64N(log[len(log)-1].end-from)
	most := []int{1, 100, 1000, 50_000, 200_000, 1 << 20}[random.IntN(6)]
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 5000, 1, int32(most), -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = "runs", id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1, offset, int32(most), -1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		t.Fatalf("%s: offset %d: %v", when, offset, err)
	}
	i := slices.IndexFunc(log, func(s sent) bool { return s.end > offset })
	bytes := 0
	for rest := got.RecordBatches; len(rest) > 0; i++ {
		b, behind, err := record.Next(rest)
		if err != nil || b.BaseOffset() != log[i].base || b.NextOffset() != log[i].end || len(b) != log[i].size || b.Verify() != nil {
			t.Fatalf("%s: offset %d: a batch from %d to %d of %d bytes where %+v is expected (%v)", when, offset, b.BaseOffset(), b.NextOffset(), len(b), log[i], err)
		}
		bytes, rest = bytes+len(b), behind
		if bytes > most && bytes > len(b) {
			t.Fatalf("%s: offset %d: %d bytes, at most %d asked for", when, offset, bytes, most)
		}
	}
	if bytes == 0 {
		t.Fatalf("%s: nothing at offset %d of %d", when, offset, log[len(log)-1].end)
	}
}

func checkTime(t *testing.T, c *kgo.Client, log []sent, from, ms int64, when string) {
	t.Helper()
	want, wantMs := int64(-1), int64(-1)
search:
	for _, s := range log {
		for i, at := range s.times {
			if at >= ms && s.base+int64(i) >= from {
				want, wantMs = s.base+int64(i), at
				break search
			}
		}
	}
	if p := listOne(t, c, ms); p.Offset != want || p.Timestamp != wantMs {
		t.Fatalf("%s: at %d ms: offset %d of %d ms, want %d of %d", when, ms, p.Offset, p.Timestamp, want, wantMs)
	}
}

// listOne looks up an offset of partition 1 by timestamp in ms, or by one of Kafka's negative special
// values.
func listOne(t *testing.T, c *kgo.Client, ms int64) kmsg.ListOffsetsResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = 1, ms, -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "runs", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp, err := req.RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		t.Fatal(err)
	}
	return got
}

func deleteBelow(t *testing.T, c *kgo.Client, offset int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = 1, offset
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "runs", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	resp, err := req.RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(fmt.Errorf("delete records: %w", err))
	}
}
