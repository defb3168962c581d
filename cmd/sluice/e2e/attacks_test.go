package e2e

import (
	be "encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/record"
)

// othersWait is the maximum p99 latency of other clients during an attack. On an otherwise idle
// machine it is below 100 ms; SLUICE_OTHERS_P99=100ms requires that.
func othersWait(t *testing.T) time.Duration {
	s := os.Getenv("SLUICE_OTHERS_P99")
	if s == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SLUICE_OTHERS_P99: %v", err)
	}
	return d
}

// attacker opens a plain TCP connection to the broker.
func attacker(t *testing.T, b *broker) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// frameHead is the start of a request frame whose length field claims size bytes.
func frameHead(key, version int16, size int) []byte {
	b := be.BigEndian.AppendUint32(nil, uint32(size))
	b = be.BigEndian.AppendUint16(b, uint16(key))
	b = be.BigEndian.AppendUint16(b, uint16(version))
	return append(b, 0, 0, 0, 1, 0xff, 0xff)
}

// requestFrame encodes a request as a complete frame.
func requestFrame(r kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("attack")).AppendRequest(nil, r, 1)
}

// others measures the latency of other clients during an attack: of produce, of fetch, and of
// requests on new connections.
func others(t *testing.T, b *broker, d time.Duration) {
	t.Helper()
	cl := b.client(kgo.DefaultProduceTopic("others"), kgo.ConsumeTopics("others"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	var took []time.Duration
	slowest := ""
	measure := func(what string, f func() error) {
		t.Helper()
		began := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if took = append(took, time.Since(began)); took[len(took)-1] == slices.Max(took) {
			slowest = what
		}
	}
	for until := time.Now().Add(d); time.Now().Before(until); {
		measure("produce", func() error { return cl.ProduceSync(deadline(t), kgo.StringRecord("hello")).FirstErr() })
		measure("fetch", func() error { return cl.PollFetches(deadline(t)).Err() })
		measure("a new connection", func() error {
			nc, err := net.Dial("tcp", b.addr)
			if err != nil {
				return err
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := nc.Write(requestFrame(kmsg.NewPtrApiVersionsRequest())); err != nil {
				return err
			}
			_, err = nc.Read(make([]byte, 4))
			return err
		})
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("%d requests of others: p50 %s, p99 %s, slowest %s (%s)", len(took), took[len(took)/2].Round(time.Microsecond), p99.Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond), slowest)
	if p99 > othersWait(t) {
		t.Errorf("others wait for %s", p99)
	}
}

// Frames that claim a large size and then stall: produce requests of 60 MiB, control requests of
// 8 MiB, and one of each that sends a byte every 50 ms.
func TestStalledRequestsHoldNobodyUp(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	for _, head := range [][]byte{frameHead(0, 9, 60<<20), frameHead(0, 9, 60<<20), frameHead(3, 9, 8<<20), frameHead(3, 9, 8<<20)} {
		if _, err := attacker(t, b).Write(head); err != nil {
			t.Fatal(err)
		}
	}
	for _, head := range [][]byte{frameHead(0, 9, 60<<20), frameHead(3, 9, 8<<20)} {
		nc := attacker(t, b)
		go func() {
			_, err := nc.Write(head)
			for err == nil {
				time.Sleep(50 * time.Millisecond)
				_, err = nc.Write([]byte{1})
			}
		}()
	}
	others(t, b, 3*time.Second)
}

// Many half-sent frames from one address.
func TestHalfFramesHoldNobodyUp(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	for i := range 60 {
		nc := attacker(t, b)
		go func() {
			key, size := int16(0), 8<<20
			if i%2 == 1 {
				key, size = 3, 1<<20
			}
			if _, err := nc.Write(frameHead(key, 9, size)); err == nil {
				_, _ = nc.Write(make([]byte, size/2))
			}
		}()
	}
	others(t, b, 3*time.Second)
}

// Valid but expensive requests: Metadata for 90,000 topic names.
func TestExpensiveRequestsHoldNobodyUp(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	r := kmsg.NewPtrMetadataRequest()
	r.SetVersion(9)
	for i := range 90_000 {
		name := fmt.Sprintf("a-topic-that-is-not-there-%d", i)
		r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	frame := requestFrame(r)
	var senders sync.WaitGroup
	for range 200 {
		nc := attacker(t, b)
		senders.Go(func() {
			_ = nc.SetDeadline(time.Now().Add(time.Minute))
			_, _ = nc.Write(frame)
			_, _ = nc.Read(make([]byte, 1))
		})
	}
	others(t, b, 5*time.Second)
}

// Tiny requests with large responses that are never read: Metadata of all topics.
func TestLargeAnswersHoldNobodyUp(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	for i := range 4 {
		b.createTopic(fmt.Sprintf("large-%d", i), 10_000)
	}
	r := kmsg.NewPtrMetadataRequest()
	r.SetVersion(9)
	r.Topics = nil
	frame := requestFrame(r)
	before := b.metric("process_resident_memory_bytes")
	for range 20 {
		nc := attacker(t, b)
		for range 20 {
			if _, err := nc.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	most := 0.0
	over := make(chan struct{})
	go func() {
		defer close(over)
		for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
			most = max(most, b.metric("process_resident_memory_bytes"))
		}
	}()
	others(t, b, 5*time.Second)
	<-over
	if most-before > 200<<20 {
		t.Errorf("the answers take %.0f MiB beyond all limits", (most-before)/(1<<20))
	}
	if n := b.metric("sluice_request_budget_used_bytes", `"work"`); n == 0 {
		t.Error("they are charged nothing")
	}
}

// Consumers that ask for 50 MiB and do not read.
func TestConsumersThatDoNotReadHoldNobodyUp(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	b.createTopic("large", 1)
	cl := b.client(kgo.DefaultProduceTopic("large"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 80 {
		cl.Produce(t.Context(), &kgo.Record{Value: make([]byte, 900_000)}, nil)
	}
	if err := cl.Flush(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := kmsg.NewPtrFetchRequest()
		r.SetVersion(11)
		r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = -1, 500, 1, 50<<20, -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes, p.CurrentLeaderEpoch = 50<<20, -1
		r.Topics = []kmsg.FetchRequestTopic{{Topic: "large", Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		nc := attacker(t, b)
		_ = nc.(*net.TCPConn).SetReadBuffer(4096)
		for range 4 {
			if _, err := nc.Write(requestFrame(r)); err != nil {
				t.Fatal(err)
			}
		}
	}
	others(t, b, 3*time.Second)
}

// The connections of clients that disconnect are released even while their requests wait, here
// because the WAL is full and the object store is away.
func TestGoneClientsGiveTheirConnectionsBack(t *testing.T) {
	b, _ := smallWAL(t)
	b.must("", "topic", "create", "t")
	objects := filepath.Join(b.dir, "objects")
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objects, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := produceSteadily(b, "t")
	defer p.stop()
	last, since := int64(-1), time.Now()
	until(t, b, "producers wait", 2*time.Minute, func() bool {
		if n := p.acked.Load(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > 2*time.Second
	})
	before := b.metric("sluice_connections")
	var conns []net.Conn
	for range 30 {
		conns = append(conns, attacker(t, b))
	}
	r := produceOf(t, "t")
	for _, nc := range conns {
		if _, err := nc.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	until(t, b, "they are there", 30*time.Second, func() bool { return b.metric("sluice_connections") >= before+30 })
	for _, nc := range conns {
		nc.Close()
	}
	until(t, b, "their connections are given back", 30*time.Second, func() bool { return b.metric("sluice_connections") < before+10 })
}

// produceOf returns a Produce frame with one record and acks=all.
func produceOf(t *testing.T, topic string) []byte {
	t.Helper()
	r := kmsg.NewPtrProduceRequest()
	r.SetVersion(8)
	r.Acks, r.TimeoutMillis = -1, 30_000
	p := kmsg.NewProduceRequestTopicPartition()
	batch, err := record.NewBuilder().Add(time.Now().UnixMilli(), nil, []byte("waits")).Build()
	if err != nil {
		t.Fatal(err)
	}
	p.Records = batch
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	return requestFrame(r)
}
