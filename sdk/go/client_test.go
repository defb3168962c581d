package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

func newProducer(t testing.TB, cfg sluice.Config, change func(*sluice.ProducerConfig)) *sluice.Producer {
	t.Helper()
	pc := sluice.DefaultProducerConfig()
	if change != nil {
		change(&pc)
	}
	p, err := sluice.NewProducer(cfg, pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

func newConsumer(t testing.TB, cfg sluice.Config, change func(*sluice.ConsumerConfig)) *sluice.Consumer {
	t.Helper()
	cc := sluice.DefaultConsumerConfig()
	cc.MaxWait = 200 * time.Millisecond
	change(&cc)
	c, err := sluice.NewConsumer(cfg, cc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// fill produces n records with values 0, 1, ..., to the partitions in turn.
func fill(t testing.TB, f *front, topic string, n int) {
	t.Helper()
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic = topic })
	var rs []*sluice.Record
	for i := range n {
		rs = append(rs, &sluice.Record{Key: fmt.Appendf(nil, "k%d", i%9), Value: fmt.Append(nil, i)})
	}
	if err := p.ProduceSync(within(t), rs...); err != nil {
		t.Fatal(err)
	}
}

// read reads n records from a consumer.
func read(t testing.TB, c *sluice.Consumer, n int) []*sluice.Record {
	t.Helper()
	var out []*sluice.Record
	for r, err := range c.Records(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, r); len(out) == n {
			break
		}
	}
	if len(out) != n {
		t.Fatalf("read %d records, want %d", len(out), n)
	}
	return out
}

func TestEveryCodecAndAcks(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	for _, codec := range []sluice.Compression{sluice.NoCompression, sluice.Gzip, sluice.Snappy, sluice.LZ4, sluice.Zstd} {
		for _, acks := range []sluice.Acks{sluice.AcksAll, sluice.AcksLeader, sluice.AcksNone} {
			t.Run(string(codec)+"/"+string(acks), func(t *testing.T) {
				topic := fmt.Sprintf("%s-%s", codec, acks)
				f.createTopic(topic)
				p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) {
					c.Topic, c.Compression, c.Acks, c.Idempotent = topic, codec, acks, acks == sluice.AcksAll
				})
				for i := range 100 {
					p.Produce(within(t), &sluice.Record{Value: fmt.Appendf(nil, "value %d", i)}, nil)
				}
				// Without acknowledgements only Close makes sure that everything arrives.
				if err := p.Close(within(t)); err != nil {
					t.Fatal(err)
				}
				if s := p.Stats(); s.Sent != 100 || s.Acked != 100 || s.Failed != 0 || s.Buffered != 0 {
					t.Errorf("stats %+v", s)
				}
				read(t, newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics = []string{topic} }), 100)
			})
		}
	}
}

func TestProduceReportsWhereARecordIs(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	p := newProducer(t, f.config(), nil)
	first, err := p.Send(within(t), &sluice.Record{Topic: "orders", Key: []byte("k"), Value: []byte("1")}).Wait(within(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Send(within(t), &sluice.Record{Topic: "orders", Key: []byte("k"), Value: []byte("2")}).Wait(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if second.Partition != first.Partition || second.Offset != first.Offset+1 {
		t.Errorf("records of one key are at %d:%d and %d:%d", first.Partition, first.Offset, second.Partition, second.Offset)
	}
}

func TestAClosedProducerFailsRecords(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic = "orders" })
	if err := p.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.ProduceSync(within(t), &sluice.Record{Value: []byte("late")}); !errors.Is(err, sluice.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestGroupResumesAtWhatTheLoopAskedBeyond(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	fill(t, f, "orders", 30)
	member := func() *sluice.Consumer {
		return newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics, c.Group = []string{"orders"}, "billing" })
	}
	first := member()
	seen := read(t, first, 12)
	if err := first.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	// The twelfth was not marked: the loop ended at it.
	rest := read(t, member(), 19)
	again := 0
	for _, r := range rest {
		if slices.ContainsFunc(seen, func(s *sluice.Record) bool { return s.Partition == r.Partition && s.Offset == r.Offset }) {
			again++
		}
	}
	if again != 1 {
		t.Errorf("%d records were read twice, want only the last one", again)
	}
}

func TestManualMarksAndCommit(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	fill(t, f, "orders", 10)
	manual := func(c *sluice.ConsumerConfig) {
		c.Topics, c.Group, c.ManualMarks, c.CommitInterval = []string{"orders"}, "manual", true, 0
	}
	first := newConsumer(t, f.config(), manual)
	rs := read(t, first, 10)
	first.Mark(rs[:4]...)
	if err := first.Commit(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	marked := map[int32]int64{}
	for _, r := range rs[:4] {
		marked[r.Partition] = r.Offset + 1
	}
	want := 0
	for _, r := range rs {
		if r.Offset >= marked[r.Partition] {
			want++
		}
	}
	for _, r := range read(t, newConsumer(t, f.config(), manual), want) {
		if r.Offset < marked[r.Partition] {
			t.Errorf("%d:%d was committed and read again", r.Partition, r.Offset)
		}
	}
}

func TestCommitWithoutAGroup(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	c := newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} })
	if err := c.Commit(within(t)); err == nil {
		t.Error("a commit without a group succeeded")
	}
}

func TestSeek(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic = "orders" })
	key := &sluice.Record{Key: []byte("k"), Value: []byte("0")}
	if err := p.ProduceSync(within(t), key); err != nil {
		t.Fatal(err)
	}
	part := key.Partition
	for i := 1; i < 20; i++ {
		if err := p.ProduceSync(within(t), &sluice.Record{Key: []byte("k"), Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*sluice.ConsumerConfig){
		"partitions": func(c *sluice.ConsumerConfig) { c.Partitions = map[string][]int32{"orders": {part}} },
		"topics":     func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} },
		"group":      func(c *sluice.ConsumerConfig) { c.Topics, c.Group = []string{"orders"}, "seekers" },
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsumer(t, f.config(), change)
			if name == "partitions" { // before the first fetch
				if err := c.Seek("orders", part, 15); err != nil {
					t.Fatal(err)
				}
				if r := read(t, c, 1)[0]; r.Offset != 15 {
					t.Fatalf("the first record is %d, want 15", r.Offset)
				}
			} else {
				read(t, c, 3)
			}
			for _, to := range []int64{7, 2, 18} {
				if err := c.Seek("orders", part, to); err != nil {
					t.Fatal(err)
				}
				if r := read(t, c, 1)[0]; r.Offset != to {
					t.Errorf("after a seek to %d the next offset is %d", to, r.Offset)
				}
			}
			var pe *sluice.PartitionError
			if err := c.Seek("orders", 99, 0); !errors.As(err, &pe) || pe.Partition != 99 {
				t.Errorf("seek in an unknown partition: %v", err)
			}
		})
	}
}

func TestPauseHoldsAPartitionBack(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	c := newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) {
		c.Partitions = map[string][]int32{"orders": {0, 1, 2}}
	})
	c.Pause("orders", 1, 2)
	fill(t, f, "orders", 60)
	for _, r := range read(t, c, 1) {
		if r.Partition != 0 {
			t.Errorf("a record of paused partition %d", r.Partition)
		}
	}
	c.Pause("orders", 0)
	c.Resume("orders", 1)
	for {
		if r := read(t, c, 1)[0]; r.Partition == 1 {
			return
		} else if r.Partition == 2 {
			t.Fatal("a record of paused partition 2")
		}
	}
}

func TestMembersShareAndHandOver(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	fill(t, f, "orders", 300)
	ctx := within(t)
	var mu sync.Mutex
	seen := map[string]int{}
	all := make(chan struct{})
	var wg sync.WaitGroup
	var members []*sluice.Consumer
	for range 2 {
		c := newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics, c.Group = []string{"orders"}, "pair" })
		members = append(members, c)
		wg.Go(func() {
			for r, err := range c.Records(ctx) {
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[string(r.Value)]++; len(seen) == 300 {
					select {
					case <-all:
					default:
						close(all)
					}
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-all:
	case <-ctx.Done():
		t.Fatalf("read only %d records", len(seen))
	}
	for _, m := range members {
		if err := m.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	wg.Wait() // a closed consumer ends its loop
}

func TestConfigsThatCannotWork(t *testing.T) {
	pc := func(change func(*sluice.ProducerConfig)) error {
		c := sluice.DefaultProducerConfig()
		change(&c)
		return c.Validate()
	}
	cc := func(change func(*sluice.ConsumerConfig)) error {
		c := sluice.DefaultConsumerConfig()
		change(&c)
		return c.Validate()
	}
	for want, err := range map[string]error{
		"acks of all":          pc(func(c *sluice.ProducerConfig) { c.Acks = sluice.AcksLeader }),
		"acks \"some\"":        pc(func(c *sluice.ProducerConfig) { c.Acks = "some" }),
		"compression \"best\"": pc(func(c *sluice.ProducerConfig) { c.Compression = "best" }),
		"in flight":            pc(func(c *sluice.ProducerConfig) { c.InFlight = 9 }),
		"nothing to consume":   cc(func(*sluice.ConsumerConfig) {}),
		"whole topics":         cc(func(c *sluice.ConsumerConfig) { c.Group, c.Partitions = "g", map[string][]int32{"t": {0}} }),
		"transport \"udp\"":    sluice.Config{Transport: "udp"}.Validate(),
		"HOST:PORT":            sluice.Config{Brokers: []string{"localhost"}}.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := sluice.DefaultProducerConfig().Validate(); err != nil {
		t.Error(err)
	}
}
