package compat

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// saramaConfig returns settings for a version of Kafka, from which sarama derives the versions of
// its requests.
func saramaConfig(v sarama.KafkaVersion) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = v
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Return.Errors = true
	return c
}

func saramaProduce(t *testing.T, c *sarama.Config, topic string, from, to int) {
	p, err := sarama.NewSyncProducer([]string{address(t)}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var batch []*sarama.ProducerMessage
	for i := from; i < to; i++ {
		m := messageOf(i)
		batch = append(batch, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(m.key), Value: sarama.StringEncoder(m.value),
			Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: []byte(m.header)}}})
	}
	if err := p.SendMessages(batch); err != nil {
		t.Fatal(err)
	}
}

// saramaGroup is a group member that reads a number of messages and commits them.
type saramaGroup struct {
	mu   sync.Mutex
	left int
	got  []message
	done func()
}

func (g *saramaGroup) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (g *saramaGroup) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (g *saramaGroup) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-c.Messages():
			if !ok {
				return nil
			}
			s.MarkMessage(m, "")
			g.take(s, message{string(m.Key), string(m.Value), string(m.Headers[0].Value)})
		case <-s.Context().Done():
			return nil
		}
	}
}

func (g *saramaGroup) take(s sarama.ConsumerGroupSession, m message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, m)
	if g.left--; g.left == 0 {
		s.Commit()
		g.done()
	}
}

func saramaConsume(t *testing.T, v sarama.KafkaVersion, group, topic string, n int) []message {
	t.Helper()
	cg, err := sarama.NewConsumerGroup([]string{address(t)}, group, saramaConfig(v))
	if err != nil {
		t.Fatal(err)
	}
	defer cg.Close()
	ctx := deadline(t)
	done := make(chan struct{})
	g := &saramaGroup{left: n, done: func() { close(done) }}
	over := make(chan error, 1)
	go func() { over <- cg.Consume(ctx, []string{topic}, g) }()
	select {
	case <-done:
	case err := <-over:
		t.Fatalf("consume ended: %v", err)
	case err := <-cg.Errors():
		t.Fatal(err)
	}
	if err := cg.Close(); err != nil {
		t.Error(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	return g.got
}

func TestSarama(t *testing.T) {
	for _, v := range []sarama.KafkaVersion{sarama.V2_1_0_0, sarama.V2_8_0_0, sarama.V3_9_0_0, sarama.MaxVersion} {
		t.Run(v.String(), func(t *testing.T) { saramaRun(t, v) })
	}
}

func saramaRun(t *testing.T, v sarama.KafkaVersion) {
	topic, group := name("sarama"), name("sarama-group")
	admin, err := sarama.NewClusterAdmin([]string{address(t)}, saramaConfig(v))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	retention := "3600000"
	detail := &sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention}}
	if err := admin.CreateTopic(topic, detail, false); err != nil {
		t.Fatal(err)
	}
	if err := admin.CreateTopic(topic, detail, false); !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		t.Errorf("created again: %v", err)
	}
	sent := 0
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		c := saramaConfig(v)
		c.Producer.Compression = codec
		saramaProduce(t, c, topic, sent, sent+100)
		sent += 100
	}
	idempotent := saramaConfig(v)
	idempotent.Producer.Idempotent, idempotent.Net.MaxOpenRequests = true, 1
	saramaProduce(t, idempotent, topic, sent, sent+100)
	sent += 100
	same(t, saramaConsume(t, v, group, topic, sent), 0, sent)
	saramaProduce(t, saramaConfig(v), topic, sent, sent+50)
	same(t, saramaConsume(t, v, group, topic, 50), sent, sent+50)
	saramaInspect(t, v, admin, topic, group, sent+50)
	if err := admin.DeleteConsumerGroup(group); err != nil {
		t.Error(err)
	}
	if err := admin.DeleteTopic(topic); err != nil {
		t.Error(err)
	}
}

func saramaInspect(t *testing.T, v sarama.KafkaVersion, admin sarama.ClusterAdmin, topic, group string, total int) {
	t.Helper()
	topics, err := admin.DescribeTopics([]string{topic})
	if err != nil || len(topics[0].Partitions) != 4 {
		t.Fatalf("describe: %+v, %v", topics, err)
	}
	configs, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	if err != nil || len(configs) != 1 || configs[0].Value != "3600000" {
		t.Errorf("describe config: %+v, %v", configs, err)
	}
	groups, err := admin.DescribeConsumerGroups([]string{group})
	if err != nil || groups[0].State != "Empty" {
		t.Errorf("describe group: %+v, %v", groups, err)
	}
	if list, err := admin.ListConsumerGroups(); err != nil || list[group] != "consumer" {
		t.Errorf("list groups: %v, %v", list, err)
	}
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	committed := int64(0)
	for p := range int32(4) {
		committed += offsets.GetBlock(topic, p).Offset
	}
	if committed != int64(total) {
		t.Errorf("offsets committed add up to %d, want %d", committed, total)
	}
	client, err := sarama.NewClient([]string{address(t)}, saramaConfig(v))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if at, err := client.GetOffset(topic, 0, time.Now().Add(-time.Hour).UnixMilli()); err != nil || at != 0 {
		t.Errorf("offset an hour ago: %d, %v", at, err)
	}
	if err := admin.CreatePartitions(topic, 6, nil, false); err != nil {
		t.Error(err)
	}
	if err := admin.DeleteRecords(topic, map[int32]int64{0: 1}); err != nil {
		t.Error(err)
	}
	if start, err := client.GetOffset(topic, 0, sarama.OffsetOldest); err != nil || start != 1 {
		t.Errorf("start after DeleteRecords: %d, %v", start, err)
	}
	saramaAlter(t, v, admin, topic)
	if brokers, _, err := admin.DescribeCluster(); err != nil || len(brokers) != 1 {
		t.Errorf("cluster: %v, %v", brokers, err)
	}
}

// saramaAlter changes a config with the newest request the version supports.
func saramaAlter(t *testing.T, v sarama.KafkaVersion, admin sarama.ClusterAdmin, topic string) {
	t.Helper()
	value := "60000"
	var err error
	if v.IsAtLeast(sarama.V2_3_0_0) {
		err = admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false)
	} else {
		err = admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &value}, false)
	}
	if err != nil {
		t.Error(err)
	}
}
