package compat

import (
	"context"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func confluentProduce(t *testing.T, topic, codec string, idempotent bool, from, to int) {
	t.Helper()
	p, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": address(t), "acks": "all", "compression.type": codec,
		"enable.idempotence": idempotent, "message.timeout.ms": 30000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	reports := make(chan kafka.Event, to-from)
	for i := from; i < to; i++ {
		m := messageOf(i)
		if err := p.Produce(&kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny},
			Key: []byte(m.key), Value: []byte(m.value), Headers: []kafka.Header{{Key: "n", Value: []byte(m.header)}}}, reports); err != nil {
			t.Fatal(err)
		}
	}
	for range to - from {
		if m, ok := (<-reports).(*kafka.Message); !ok || m.TopicPartition.Error != nil {
			t.Fatalf("not delivered: %v", m)
		}
	}
}

func confluentConsume(t *testing.T, group, topic, strategy string, n int) []message {
	t.Helper()
	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": address(t), "group.id": group, "auto.offset.reset": "earliest",
		"enable.auto.commit": false, "partition.assignment.strategy": strategy})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(topic, nil); err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t)
	var got []message
	for len(got) < n {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d messages came in time", len(got), n)
		}
		m, err := c.ReadMessage(time.Second)
		if e := (kafka.Error{}); err != nil {
			if asConfluent(err, &e) && e.Code() == kafka.ErrTimedOut {
				continue
			}
			t.Fatal(err)
		}
		got = append(got, message{string(m.Key), string(m.Value), string(m.Headers[0].Value)})
	}
	if _, err := c.Commit(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return got
}

func asConfluent(err error, e *kafka.Error) bool {
	k, ok := err.(kafka.Error)
	*e = k
	return ok
}

func TestConfluent(t *testing.T) {
	topic, group := name("confluent"), name("confluent-group")
	ctx := deadline(t)
	admin, err := kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": address(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	created, err := admin.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: topic, NumPartitions: 3, ReplicationFactor: 1,
		Config: map[string]string{"retention.ms": "3600000"}}})
	if err != nil || created[0].Error.Code() != kafka.ErrNoError {
		t.Fatalf("create: %v, %v", created, err)
	}
	sent := 0
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		confluentProduce(t, topic, codec, codec == "zstd", sent, sent+100)
		sent += 100
	}
	same(t, confluentConsume(t, group, topic, "range", sent), 0, sent)
	confluentProduce(t, topic, "none", true, sent, sent+50)
	same(t, confluentConsume(t, group, topic, "cooperative-sticky", 50), sent, sent+50)
	confluentInspect(ctx, t, admin, topic, group, int64(sent+50))
	if d, err := admin.DeleteTopics(ctx, []string{topic}); err != nil || d[0].Error.Code() != kafka.ErrNoError {
		t.Errorf("delete topic: %v, %v", d, err)
	}
}

func confluentInspect(ctx context.Context, t *testing.T, admin *kafka.AdminClient, topic, group string, total int64) {
	t.Helper()
	topics, err := admin.DescribeTopics(ctx, kafka.NewTopicCollectionOfTopicNames([]string{topic}))
	if err != nil || len(topics.TopicDescriptions) != 1 || len(topics.TopicDescriptions[0].Partitions) != 3 {
		t.Fatalf("describe topics: %+v, %v", topics, err)
	}
	configs, err := admin.DescribeConfigs(ctx, []kafka.ConfigResource{{Type: kafka.ResourceTopic, Name: topic}})
	if err != nil || configs[0].Config["retention.ms"].Value != "3600000" {
		t.Errorf("describe configs: %+v, %v", configs, err)
	}
	var parts []kafka.TopicPartition
	for p := range int32(3) {
		parts = append(parts, kafka.TopicPartition{Topic: &topic, Partition: p})
	}
	offsets, err := admin.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{{Group: group, Partitions: parts}})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, p := range offsets.ConsumerGroupsTopicPartitions[0].Partitions {
		sum += int64(p.Offset)
	}
	if sum != total {
		t.Errorf("offsets committed add up to %d, want %d", sum, total)
	}
	groups, err := admin.DescribeConsumerGroups(ctx, []string{group})
	if err != nil || groups.ConsumerGroupDescriptions[0].State != kafka.ConsumerGroupStateEmpty {
		t.Errorf("describe group: %+v, %v", groups, err)
	}
	list, err := admin.ListConsumerGroups(ctx)
	if err != nil || len(list.Errors) != 0 {
		t.Errorf("list groups: %+v, %v", list, err)
	}
	ends, err := admin.ListOffsets(ctx, map[kafka.TopicPartition]kafka.OffsetSpec{{Topic: &topic, Partition: 0}: kafka.LatestOffsetSpec})
	if err != nil {
		t.Error(err)
	}
	for p, r := range ends.ResultInfos {
		if r.Error.Code() != kafka.ErrNoError || r.Offset <= 0 {
			t.Errorf("end of %v: %+v", p, r)
		}
	}
	if cluster, err := admin.DescribeCluster(ctx); err != nil || len(cluster.Nodes) != 1 {
		t.Errorf("cluster: %+v, %v", cluster, err)
	}
	alter := []kafka.ConfigResource{{Type: kafka.ResourceTopic, Name: topic, Config: []kafka.ConfigEntry{
		{Name: "retention.ms", Value: "60000", IncrementalOperation: kafka.AlterConfigOpTypeSet}}}}
	if r, err := admin.IncrementalAlterConfigs(ctx, alter); err != nil || r[0].Error.Code() != kafka.ErrNoError {
		t.Errorf("alter configs: %+v, %v", r, err)
	}
	if r, err := admin.CreatePartitions(ctx, []kafka.PartitionsSpecification{{Topic: topic, IncreaseTo: 5}}); err != nil || r[0].Error.Code() != kafka.ErrNoError {
		t.Errorf("create partitions: %+v, %v", r, err)
	}
	if r, err := admin.DeleteConsumerGroups(ctx, []string{group}); err != nil || r.ConsumerGroupResults[0].Error.Code() != kafka.ErrNoError {
		t.Errorf("delete group: %+v, %v", r, err)
	}
}
