package fetch

import (
	"bytes"
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

const (
	oldest = 4
	newest = 18
)

func TestEveryVersionDecodes(t *testing.T) {
	for version := int16(oldest); version <= newest; version++ {
		b := newBroker(t, nil)
		orders, away := b.topic("orders", 3), b.topic("away", 1)
		batch := b.append(orders, 0, 100)
		b.append(orders, 2, 10)
		b.table.Remove(topic.Partition{Topic: away.ID})
		away.Partitions[0].Leader, away.Partitions[0].Epoch = 2, 7
		req := request(version, 0, -1, at{t: orders}, at{t: orders, index: 1},
			at{t: orders, index: 2, offset: 99}, at{t: orders, index: 3}, at{t: away})
		resp := b.fetch(req)
		if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 4 {
			t.Fatalf("v%d: %+v", version, resp.Topics)
		}
		if got := resp.Topics[0]; version >= 13 && got.TopicID != orders.ID || version < 13 && got.Topic != "orders" {
			t.Errorf("v%d: topic %q %x", version, got.Topic, got.TopicID)
		}
		p := resp.Topics[0].Partitions
		if !bytes.Equal(p[0].RecordBatches, batch) || p[0].HighWatermark != 1 || p[0].LastStableOffset != 1 || p[0].ErrorCode != 0 {
			t.Errorf("v%d: partition with records: %+v", version, p[0])
		}
		if p[1].ErrorCode != 0 || len(p[1].RecordBatches) != 0 || p[1].HighWatermark != 0 {
			t.Errorf("v%d: empty partition: %+v", version, p[1])
		}
		if version >= 5 && p[0].LogStartOffset != 0 || version >= 11 && p[0].PreferredReadReplica != -1 {
			t.Errorf("v%d: log start or preferred replica: %+v", version, p[0])
		}
		if p[2].ErrorCode != kerr.OffsetOutOfRange.Code || p[2].HighWatermark != -1 {
			t.Errorf("v%d: offset out of range: %+v", version, p[2])
		}
		if p[3].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("v%d: unknown partition: %+v", version, p[3])
		}
		moved := resp.Topics[1].Partitions[0]
		if moved.ErrorCode != kerr.NotLeaderForPartition.Code {
			t.Errorf("v%d: partition led elsewhere: %+v", version, moved)
		}
		if version >= 12 && (moved.CurrentLeader.LeaderID != 2 || moved.CurrentLeader.LeaderEpoch != 7) {
			t.Errorf("v%d: the new leader is not named: %+v", version, moved.CurrentLeader)
		}
		if version >= 16 && (len(resp.Brokers) != 1 || resp.Brokers[0].Host != "two" || *resp.Brokers[0].Rack != "r") {
			t.Errorf("v%d: the new leader's address: %+v", version, resp.Brokers)
		}
		b.Close()
		b.idle()
	}
}

func TestRefusedRequestDecodesInEveryVersion(t *testing.T) {
	for version := int16(7); version <= newest; version++ {
		b := newBroker(t, nil)
		resp := b.fetch(request(version, 77, 3))
		if resp.ErrorCode != kerr.FetchSessionIDNotFound.Code || resp.SessionID != 0 {
			t.Errorf("v%d: %+v", version, resp)
		}
		b.Close()
	}
}

func TestRecordsAreNotCopied(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 2)
	want := [][]byte{b.append(orders, 0, 10), b.append(orders, 0, 20), b.append(orders, 1, 30)}
	replied := make(chan net.Buffers, 1)
	b.Fetch(context.Background(), pipeline.Holder{Conn: 1}, request(newest, 0, -1, at{t: orders}, at{t: orders, index: 1}),
		func(body net.Buffers, release func()) { replied <- body; release() })
	body := <-replied
	found := 0
	for _, chunk := range body {
		for _, w := range want {
			if &chunk[0] == &w[0] && len(chunk) == len(w) {
				found++
			}
		}
	}
	if found != len(want) {
		t.Errorf("%d of %d batches are in the response unchanged", found, len(want))
	}
	b.Close()
	b.idle()
}

func TestReadCommittedHasAnEmptyListOfAbortedTransactions(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 1)
	b.append(orders, 0, 10)
	req := request(newest, 0, -1, at{t: orders})
	if p := only(t, b.fetch(req)); p.AbortedTransactions != nil {
		t.Errorf("read_uncommitted: %v", p.AbortedTransactions)
	}
	req.IsolationLevel = readCommitted
	if p := only(t, b.fetch(req)); p.AbortedTransactions == nil || len(p.RecordBatches) != 10 {
		t.Errorf("read_committed: %+v", p)
	}
}

func TestEpochsOfTheReaderAreChecked(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 1)
	s := b.state(orders, 0)
	s.NoteEpoch(1, 0)
	for range 4 {
		b.append(orders, 0, 10)
	}
	s.SetEpoch(4)
	s.NoteEpoch(4, 3)
	tests := []struct {
		name               string
		offset             int64
		current, last      int32
		code               *kerr.Error
		divergedAt         int32
		divergedEnd, bytes int64
	}{
		{"no epochs", 0, -1, -1, nil, -1, -1, 40},
		{"current", 3, 4, 4, nil, -1, -1, 10},
		{"a negative epoch other than -1", 3, -2, -2, nil, -1, -1, 10},
		{"older leader epoch", 0, 3, -1, kerr.FencedLeaderEpoch, -1, -1, 0},
		{"newer leader epoch", 0, 5, -1, kerr.UnknownLeaderEpoch, -1, -1, 0},
		{"read an older epoch to its end", 3, 4, 1, nil, -1, -1, 10},
		{"read an older epoch beyond its end", 4, 4, 1, nil, 1, 3, 0},
		{"read an epoch that was lost", 3, 4, 2, nil, 1, 3, 0},
		{"read an epoch older than all known ones", 0, 4, 0, nil, -1, -1, 40},
		{"read an epoch older than all known ones beyond its end", 3, 4, 0, nil, 0, 0, 0},
		{"read an epoch not known yet", 3, 4, 9, kerr.OffsetOutOfRange, -1, -1, 0},
	}
	for _, tt := range tests {
		p := only(t, b.fetch(request(newest, 0, -1, at{t: orders, offset: tt.offset, with: func(p *kmsg.FetchRequestTopicPartition) {
			p.CurrentLeaderEpoch, p.LastFetchedEpoch = tt.current, tt.last
		}})))
		code := int16(0)
		if tt.code != nil {
			code = tt.code.Code
		}
		if p.ErrorCode != code || p.DivergingEpoch.Epoch != tt.divergedAt || p.DivergingEpoch.EndOffset != tt.divergedEnd || int64(len(p.RecordBatches)) != tt.bytes {
			t.Errorf("%s: %+v", tt.name, p)
		}
	}
}

// Records after the end of a damaged partition were lost. A reader there waits as for new
// records, then gets an error.
func TestReadersAtTheEndOfADamagedPartition(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 2)
	b.append(orders, 0, 10)
	s := b.state(orders, 0)
	s.Lose(errTorn)
	for _, offset := range []int64{1, 2} { // the first missing one, and another
		began := time.Now()
		p := only(t, b.fetch(request(newest, 0, -1, at{t: orders, offset: offset, with: func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 1 }})))
		if p.ErrorCode != kerr.KafkaStorageError.Code || p.HighWatermark != -1 {
			t.Errorf("offset %d: %+v", offset, p)
		}
		if took := time.Since(began); took < 900*time.Millisecond {
			t.Errorf("offset %d: the error came after %s, so clients retry at once", offset, took)
		}
	}
	if p := only(t, b.fetch(request(newest, 0, -1, at{t: orders}))); p.ErrorCode != 0 || len(p.RecordBatches) != 10 {
		t.Errorf("before the damage: %+v", p)
	}
	b.append(orders, 1, 10)
	both := b.fetch(request(newest, 0, -1, at{t: orders, offset: 1}, at{t: orders, index: 1}))
	if p := both.Topics[0].Partitions; p[0].ErrorCode != kerr.KafkaStorageError.Code || len(p[1].RecordBatches) != 10 {
		t.Errorf("beside another partition: %+v", p)
	}
	s.Lose(nil)
	s.Refuse(errTorn) // concerns appends only
	if p := only(t, b.fetch(request(newest, 0, -1, at{t: orders, offset: 1}))); p.ErrorCode != 0 {
		t.Errorf("given up: %+v", p)
	}
}

func TestLimitsOfAnAnswer(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 3)
	for i := range int32(3) {
		b.append(orders, i, 100)
		b.append(orders, i, 100)
	}
	req := request(newest, 0, -1, at{t: orders}, at{t: orders, index: 1}, at{t: orders, index: 2})
	req.MaxBytes = 250
	resp := b.fetch(req)
	if got := len(resp.Topics[0].Partitions); got != 3 {
		t.Fatalf("a full response has every partition, got %d", got)
	}
	if b.reads != 2 {
		t.Errorf("%d partitions were read for 250 bytes of 600", b.reads)
	}
	req.MaxBytes = 1 // the first batch is returned whole
	if got := len(b.fetch(req).Topics[0].Partitions[0].RecordBatches); got != 100 {
		t.Errorf("%d bytes of the first batch", got)
	}
	b.Close()
	b.idle()
}

func TestFailedReads(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 1)
	b.append(orders, 0, 100)
	b.failing = errTorn
	p := only(t, b.fetch(request(newest, 0, -1, at{t: orders})))
	if p.ErrorCode != kerr.KafkaStorageError.Code || p.HighWatermark != -1 || len(p.RecordBatches) != 0 {
		t.Errorf("%+v", p)
	}
	b.Close()
	b.idle()
}

func TestTheBudgetBoundsAnswersThatAreNotWrittenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(c *Config) { c.MaxBytes, c.BudgetBytes = 1<<10, 1500 })
		orders := b.topic("orders", 1)
		b.append(orders, 0, 1000)
		_, release := b.fetchHeld(t.Context(), request(newest, 0, -1, at{t: orders}))
		second := make(chan int, 1)
		go func() { second <- len(only(t, b.fetch(request(newest, 0, -1, at{t: orders}))).RecordBatches) }()
		synctest.Wait()
		if len(second) != 0 {
			t.Error("a second response of 1000 bytes got into a budget of 1500")
		}
		release()
		if got := <-second; got != 1000 {
			t.Errorf("then %d bytes", got)
		}
		b.Close()
		b.idle()
	})
}

// A poll follows a topic by name when it is deleted and recreated.
func TestAPollFollowsATopicThatIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, nil)
		orders := b.topic("orders", 1)
		got := make(chan int, 1)
		go func() { got <- len(only(t, b.fetch(request(12, 0, -1, at{t: orders}))).RecordBatches) }()
		synctest.Wait()
		b.publish(nil)
		again := b.topic("orders", 1)
		b.table.Remove(topic.Partition{Topic: orders.ID}) // wakes the poll
		synctest.Wait()
		start := time.Now()
		b.append(again, 0, 10)
		if n := <-got; n != 10 || time.Since(start) != 0 {
			t.Errorf("%d bytes after %v", n, time.Since(start))
		}
		b.Close()
		b.idle()
	})
}

// If many partitions change all the time and none has enough, a poll over them scans at a
// bounded rate.
func TestAPollOfManyPartitionsRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, nil)
		orders := b.topic("orders", 5000)
		parts := make([]at, 5000)
		for i := range parts {
			parts[i] = at{t: orders, index: int32(i)}
		}
		req := request(newest, 0, 0, parts...)
		req.MinBytes = 20_000 // each change may be enough
		looks, stop, over := 0, make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			for i := 0; ; i++ { // one change per millisecond
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					b.append(orders, int32(i%5000), 10)
					looks++
				}
			}
		}()
		resp, took := b.waited(req)
		close(stop)
		<-over
		if took != time.Second || len(resp.Topics) != 1 {
			t.Errorf("after %v", took)
		}
		if scans := testutil.ToFloat64(b.metrics.scans); looks < 900 || scans > 45 || scans < 30 {
			t.Errorf("%v scans during %d changes; a poll rests 25 ms between scans", scans, looks)
		}
		b.Close()
	})
}

// waited returns how long the fetch took on the fake clock.
func (b *broker) waited(req *kmsg.FetchRequest) (*kmsg.FetchResponse, time.Duration) {
	start := time.Now()
	resp := b.fetch(req)
	return resp, time.Since(start)
}

func TestLongPoll(t *testing.T) {
	later := func(b *broker, orders *meta.Topic, d time.Duration, f func()) {
		go func() { time.Sleep(d); f() }() // on the fake clock
	}
	tests := []struct {
		name string
		run  func(*broker, *meta.Topic)
		req  func(*kmsg.FetchRequest)
		want time.Duration
		got  int
	}{
		{name: "nothing comes", want: time.Second},
		{name: "no wait", req: func(r *kmsg.FetchRequest) { r.MaxWaitMillis = 0 }},
		{name: "no minimum", req: func(r *kmsg.FetchRequest) { r.MinBytes = 0 }},
		{name: "a batch arrives", want: 300 * time.Millisecond, got: 100, run: func(b *broker, orders *meta.Topic) {
			later(b, orders, 300*time.Millisecond, func() { b.append(orders, 1, 100) })
		}},
		{name: "too little arrives", want: time.Second, got: 100, req: func(r *kmsg.FetchRequest) { r.MinBytes = 101 },
			run: func(b *broker, orders *meta.Topic) {
				later(b, orders, 300*time.Millisecond, func() { b.append(orders, 1, 100) })
			}},
		{name: "enough arrives across two partitions", want: 600 * time.Millisecond, got: 150, req: func(r *kmsg.FetchRequest) { r.MinBytes = 101 },
			run: func(b *broker, orders *meta.Topic) {
				later(b, orders, 300*time.Millisecond, func() { b.append(orders, 1, 100) })
				later(b, orders, 600*time.Millisecond, func() { b.append(orders, 0, 50) })
			}},
		{name: "the topic is deleted", want: 300 * time.Millisecond, run: func(b *broker, orders *meta.Topic) {
			later(b, orders, 300*time.Millisecond, func() {
				b.publish(nil)
				b.table.Remove(topic.Partition{Topic: orders.ID})
			})
		}},
		{name: "the server closes", want: 300 * time.Millisecond, run: func(b *broker, orders *meta.Topic) {
			later(b, orders, 300*time.Millisecond, b.Close)
		}},
	}
	for _, tt := range tests {
		for _, epoch := range []int32{-1, 0} { // without and with a session
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, nil)
				orders := b.topic("orders", 2)
				req := request(newest, 0, epoch, at{t: orders}, at{t: orders, index: 1})
				if tt.req != nil {
					tt.req(req)
				}
				if tt.run != nil {
					tt.run(b, orders)
				}
				resp, took := b.waited(req)
				got := 0
				for _, p := range resp.Topics[0].Partitions {
					got += len(p.RecordBatches)
				}
				if took != tt.want || got != tt.got {
					t.Errorf("%s (session epoch %d): %d bytes after %v, want %d after %v", tt.name, epoch, got, took, tt.got, tt.want)
				}
				b.Close()
				b.idle()
			})
		}
	}
}

func TestPollsEndWithTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, nil)
		orders := b.topic("orders", 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(100 * time.Millisecond); cancel() }()
		start := time.Now()
		if resp, _ := b.fetchHeld(ctx, request(newest, 0, -1, at{t: orders})); resp != nil {
			t.Errorf("a response after the connection ended: %+v", resp)
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("after %v", took)
		}
		b.Close()
		if resp, _ := b.fetchHeld(t.Context(), request(newest, 0, -1, at{t: orders})); resp != nil {
			t.Errorf("a response from a closed server: %+v", resp)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"max bytes": func(c *Config) { c.MaxBytes = 0 },
		"max wait":  func(c *Config) { c.MaxWait = 0 },
		"sessions":  func(c *Config) { c.Sessions = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, c := range []Config{{BudgetBytes: 1 << 30}, {WaitingBytes: 1 << 30}} {
		budgets := c
		c = DefaultConfig()
		c.BudgetBytes, c.WaitingBytes = budgets.BudgetBytes, budgets.WaitingBytes
		if _, err := New(c, Deps{}); err == nil {
			t.Errorf("budgets of %d and %d are taken", c.BudgetBytes, c.WaitingBytes)
		}
	}
}
