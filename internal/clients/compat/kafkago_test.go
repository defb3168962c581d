package compat

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func kafkaGoProduce(t *testing.T, topic string, codec kafka.Compression, from, to int) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(address(t)), Topic: topic, RequiredAcks: kafka.RequireAll, Compression: codec,
		Balancer: &kafka.Hash{}, BatchTimeout: 5 * time.Millisecond}
	defer w.Close()
	var batch []kafka.Message
	for i := from; i < to; i++ {
		m := messageOf(i)
		batch = append(batch, kafka.Message{Key: []byte(m.key), Value: []byte(m.value), Headers: []kafka.Header{{Key: "n", Value: []byte(m.header)}}})
	}
	if err := w.WriteMessages(deadline(t), batch...); err != nil {
		t.Fatal(err)
	}
}

func kafkaGoConsume(t *testing.T, group, topic string, n int) []message {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address(t)}, GroupID: group, Topic: topic,
		StartOffset: kafka.FirstOffset, MaxWait: 200 * time.Millisecond})
	ctx := deadline(t)
	var got []message
	var read []kafka.Message
	for len(got) < n {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(got), n, err)
		}
		read = append(read, m)
		got = append(got, message{string(m.Key), string(m.Value), string(m.Headers[0].Value)})
	}
	if err := r.CommitMessages(ctx, read...); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return got
}

func TestKafkaGo(t *testing.T) {
	topic, group := name("kafka-go"), name("kafka-go-group")
	ctx := deadline(t)
	cl := &kafka.Client{Addr: kafka.TCP(address(t)), Timeout: 20 * time.Second}
	created, err := cl.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 3, ReplicationFactor: 1}}})
	if err != nil || created.Errors[topic] != nil {
		t.Fatalf("create: %v, %v", err, created)
	}
	sent := 0
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		kafkaGoProduce(t, topic, codec, sent, sent+100)
		sent += 100
	}
	same(t, kafkaGoConsume(t, group, topic, sent), 0, sent)
	kafkaGoProduce(t, topic, 0, sent, sent+50)
	same(t, kafkaGoConsume(t, group, topic, 50), sent, sent+50)
	kafkaGoInspect(t, cl, topic, group, int64(sent+50))
	if d, err := cl.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}}); err != nil || d.Errors[topic] != nil {
		t.Errorf("delete: %v, %v", err, d)
	}
}

func kafkaGoInspect(t *testing.T, cl *kafka.Client, topic, group string, total int64) {
	t.Helper()
	ctx := deadline(t)
	meta, err := cl.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) != 3 || meta.Topics[0].Error != nil {
		t.Fatalf("metadata: %+v, %v", meta, err)
	}
	offsets, err := cl.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2}}})
	if err != nil || offsets.Error != nil {
		t.Fatalf("offset fetch: %+v, %v", offsets, err)
	}
	sum := int64(0)
	for _, p := range offsets.Topics[topic] {
		sum += p.CommittedOffset
	}
	if sum != total {
		t.Errorf("offsets committed add up to %d, want %d", sum, total)
	}
	groups, err := cl.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil || len(groups.Groups) != 1 || groups.Groups[0].Error != nil {
		t.Errorf("describe groups: %+v, %v", groups, err)
	}
	listed, err := cl.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil || listed.Topics[topic][0].FirstOffset != 0 || listed.Topics[topic][0].LastOffset <= 0 {
		t.Errorf("list offsets: %+v, %v", listed, err)
	}
	deleted, err := cl.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil || deleted.Errors[group] != nil {
		t.Errorf("delete group: %+v, %v", deleted, err)
	}
}

// The low-level connection of kafka-go uses old versions of the protocol.
func TestKafkaGoConn(t *testing.T) {
	topic := name("kafka-go-conn")
	ctx := deadline(t)
	conn, err := kafka.DialContext(ctx, "tcp", address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.CreateTopics(kafka.TopicConfig{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	leader, err := kafka.DialLeader(ctx, "tcp", address(t), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	if _, err := leader.WriteMessages(kafka.Message{Value: []byte("a")}, kafka.Message{Value: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	if first, last, err := leader.ReadOffsets(); err != nil || first != 0 || last != 2 {
		t.Errorf("offsets %d to %d, %v", first, last, err)
	}
	if got, err := kafkaGoRead(ctx, leader, 2); err != nil || got != "ab" {
		t.Errorf("read %q, %v", got, err)
	}
}

func kafkaGoRead(ctx context.Context, c *kafka.Conn, n int) (string, error) {
	if d, ok := ctx.Deadline(); ok {
		if err := c.SetReadDeadline(d); err != nil {
			return "", err
		}
	}
	batch := c.ReadBatch(1, 1<<20)
	var all string
	for range n {
		m, err := batch.ReadMessage()
		if err != nil && !errors.Is(err, io.EOF) {
			return all, errors.Join(err, batch.Close())
		}
		all += string(m.Value)
	}
	return all, batch.Close()
}
