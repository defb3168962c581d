package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// client returns a franz-go client over plaintext TCP.
func (b *broker) client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.addr)}, opts...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	return cl
}

func (b *broker) admins() *kadm.Client { return kadm.NewClient(b.client()) }

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (b *broker) createTopic(name string, partitions int32) {
	b.t.Helper()
	if _, err := b.admins().CreateTopic(deadline(b.t), partitions, -1, nil, name); err != nil {
		b.t.Fatalf("create %s: %v", name, err)
	}
}

// consume polls the client for exactly n records.
func consume(t testing.TB, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx := deadline(t)
	var out []*kgo.Record
	for len(out) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		fs.EachError(func(topic string, p int32, err error) { t.Fatalf("%s/%d: %v", topic, p, err) })
		out = append(out, fs.Records()...)
	}
	if len(out) > n {
		t.Fatalf("%d records, want %d", len(out), n)
	}
	return out
}

func TestFranzGoProducesAndConsumesWithEveryCodec(t *testing.T) {
	b := newBroker(t)
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		t.Run(name, func(t *testing.T) {
			topic := "codec-" + name
			b.createTopic(topic, 3)
			cl := b.client(kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(topic))
			const n = 500
			for i := range n {
				cl.Produce(deadline(t), &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%7), Value: fmt.Appendf(nil, "value %d of a record that compresses well", i),
					Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{byte(i)}}}}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			if err := cl.Flush(deadline(t)); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, r := range consume(t, b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), n) {
				seen[string(r.Value)] = true
				if len(r.Headers) != 1 || r.Headers[0].Key != "h" {
					t.Fatalf("headers %v", r.Headers)
				}
			}
			if len(seen) != n {
				t.Errorf("%d distinct records of %d", len(seen), n)
			}
		})
	}
}

func TestFranzGoGroupResumesWhereItCommitted(t *testing.T) {
	b := newBroker(t)
	b.createTopic("orders", 4)
	p := b.client(kgo.DefaultProduceTopic("orders"))
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			if err := p.ProduceSync(deadline(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	member := func() *kgo.Client {
		return b.client(kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	}
	produce(0, 20)
	first := member()
	got := consume(t, first, 20)
	if err := first.CommitRecords(deadline(t), got...); err != nil {
		t.Fatal(err)
	}
	first.Close()
	b.stop()
	b.start() // commits survive a restart
	produce(20, 30)
	for _, r := range consume(t, member(), 10) {
		var i int
		if _, err := fmt.Sscan(string(r.Value), &i); err != nil || i < 20 {
			t.Errorf("record %s again", r.Value)
		}
	}
	groups, err := b.admins().DescribeGroups(deadline(t), "billing")
	if err != nil || groups["billing"].State != "Stable" || len(groups["billing"].Members) != 1 {
		t.Errorf("group %+v, %v", groups["billing"], err)
	}
}

func TestFranzGoTwoMembersShareTheWork(t *testing.T) {
	b := newBroker(t)
	b.createTopic("shared", 4)
	ctx := deadline(t)
	assigned := make(chan int, 64)
	opts := func() []kgo.Opt {
		return []kgo.Opt{kgo.ConsumerGroup("pair"), kgo.ConsumeTopics("shared"), kgo.Balancers(kgo.RangeBalancer()),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { assigned <- len(m["shared"]) })}
	}
	poll := func(cl *kgo.Client) {
		for ctx.Err() == nil && !cl.PollFetches(ctx).IsClientClosed() {
		}
	}
	one := b.client(opts()...)
	go poll(one)
	if n := <-assigned; n != 4 {
		t.Fatalf("the only member has %d partitions", n)
	}
	two := b.client(opts()...)
	go poll(two)
	if x, y := <-assigned, <-assigned; x != 2 || y != 2 {
		t.Errorf("two members have %d and %d partitions", x, y)
	}
	two.Close()
	for {
		select {
		case n := <-assigned:
			if n == 4 {
				return
			}
		case <-ctx.Done():
			t.Fatal("the partitions of a member that left were not given to the other")
		}
	}
}

func TestFranzGoAdmin(t *testing.T) {
	b := newBroker(t)
	a, ctx := b.admins(), deadline(t)
	b.createTopic("t", 2)
	if _, err := a.CreateTopic(ctx, 1, 1, nil, "t"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("second creation: %v", err)
	}
	if _, err := a.CreateTopic(ctx, 1, 1, nil, "../etc"); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("bad name: %v", err)
	}
	if _, err := a.CreateTopic(ctx, 1, 9, nil, "three"); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("nine replicas on one broker: %v", err)
	}
	if r, err := a.CreatePartitions(ctx, 3, "t"); err != nil || r.Error() != nil {
		t.Errorf("create partitions: %v, %v", err, r.Error())
	}
	value := "60000"
	if _, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, "t"); err != nil {
		t.Error(err)
	}
	configs, err := a.DescribeTopicConfigs(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "retention.ms" && c.MaybeValue() != value {
			t.Errorf("retention.ms is %s", c.MaybeValue())
		}
	}
	cl := b.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 10 {
		r := &kgo.Record{Topic: "t", Partition: 1, Value: []byte{byte(i)}, Timestamp: time.UnixMilli(1_000_000 + int64(i)*1000)}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if r.Offset != int64(i) {
			t.Fatalf("record %d got offset %d", i, r.Offset)
		}
	}
	at, err := a.ListOffsetsAfterMilli(ctx, 1_003_500, "t")
	if err != nil || at["t"][1].Offset != 4 {
		t.Errorf("offset by time: %+v, %v", at["t"][1], err)
	}
	var to kadm.Offsets
	to.AddOffset("t", 1, 6, -1)
	if _, err := a.DeleteRecords(ctx, to); err != nil {
		t.Error(err)
	}
	if start, err := a.ListStartOffsets(ctx, "t"); err != nil || start["t"][1].Offset != 6 {
		t.Errorf("start after DeleteRecords: %+v, %v", start["t"][1], err)
	}
	rest := consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 4)
	if rest[0].Offset != 6 {
		t.Errorf("the first record left has offset %d", rest[0].Offset)
	}
	if _, err := a.DeleteTopics(ctx, "t"); err != nil {
		t.Error(err)
	}
	topics, err := b.admins().ListTopics(ctx, "t") // a new client, since clients cache metadata
	if err != nil || !errors.Is(topics["t"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("after deletion: %+v, %v", topics["t"], err)
	}
	// A topic recreated under the same name has none of the old records.
	b.createTopic("t", 2)
	if end, err := a.ListEndOffsets(ctx, "t"); err != nil || end["t"][1].Offset != 0 {
		t.Errorf("the new topic ends at %+v, %v", end["t"][1], err)
	}
}
