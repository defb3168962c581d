package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// After kill -9 under load every acknowledged record is still there, exactly once and in order.
func TestKillNineLosesNothingAcknowledged(t *testing.T) {
	b := newBroker(t)
	const partitions = 4
	b.createTopic("ledger", partitions)
	var mu sync.Mutex
	acked := make([][]string, partitions)
	for round := range 3 {
		cl := b.client(kgo.DefaultProduceTopic("ledger"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(20*time.Second))
		ctx, cancel := context.WithCancel(context.Background())
		enough := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		for p := range int32(partitions) {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					value := fmt.Sprintf("%d-%d-%d", round, p, i)
					cl.Produce(ctx, &kgo.Record{Partition: p, Value: []byte(value)}, func(r *kgo.Record, err error) {
						if err != nil {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						acked[p] = append(acked[p], value)
						if len(acked[p]) > 2000*(round+1) {
							once.Do(func() { close(enough) })
						}
					})
				}
			})
		}
		<-enough
		b.kill() // while records are being produced
		cancel()
		wg.Wait()
		cl.Close()
		b.start()
	}
	got := readAll(t, b, "ledger")
	for p := range acked {
		checkLog(t, p, acked[p], got[int32(p)])
	}
}

// readAll returns the values of each partition in offset order. Offsets must begin at 0 and have no
// gaps.
func readAll(t *testing.T, b *broker, topic string) map[int32][]string {
	t.Helper()
	ends, err := b.admins().ListEndOffsets(deadline(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, e := range ends[topic] {
		total += int(e.Offset)
	}
	out := map[int32][]string{}
	for _, r := range consume(t, b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), total) {
		if int(r.Offset) != len(out[r.Partition]) {
			t.Fatalf("partition %d: offset %d after %d records", r.Partition, r.Offset, len(out[r.Partition]))
		}
		out[r.Partition] = append(out[r.Partition], string(r.Value))
	}
	return out
}

// checkLog checks that acked is a subsequence of log, and that log has no duplicates.
func checkLog(t *testing.T, p int, acked, log []string) {
	t.Helper()
	seen := make(map[string]bool, len(log))
	i := 0
	for _, v := range log {
		if seen[v] {
			t.Fatalf("partition %d: %s is in the log twice", p, v)
		}
		seen[v] = true
		if i < len(acked) && acked[i] == v {
			i++
		}
	}
	if i < len(acked) {
		t.Fatalf("partition %d: acknowledged record %s is missing or out of order (%d of %d found)", p, acked[i], i, len(acked))
	}
}

// hurry lowers the upload interval to one second and waits until everything is uploaded.
func (b *broker) hurry() {
	b.t.Helper()
	resp, err := http.Post("http://"+b.admin+"/limits", "application/json",
		strings.NewReader(`{"graph":"upload","stage":"ledger","key":"interval_ms","value":1000}`))
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("POST /limits: %s", resp.Status)
	}
	until := time.Now().Add(30 * time.Second)
	for b.metric("sluice_upload_pending_bytes") > 0 || b.metric("sluice_uploads_total") == 0 {
		if time.Now().After(until) {
			b.t.Fatal("nothing was uploaded in time")
		}
		<-time.After(50 * time.Millisecond)
	}
}

// A broker that has lost its WAL directory serves everything that was uploaded.
func TestHistoryIsServedFromObjectsWithoutTheWAL(t *testing.T) {
	b := newBroker(t)
	b.createTopic("history", 3)
	cl := b.client(kgo.DefaultProduceTopic("history"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	value := bytes.Repeat([]byte("x"), 1000)
	const n = 3000
	for i := range n {
		cl.Produce(deadline(t), &kgo.Record{Value: fmt.Appendf(nil, "%d %s", i, value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(deadline(t)); err != nil {
		t.Fatal(err)
	}
	b.hurry()
	before := readAll(t, b, "history")
	b.stop()
	if err := os.RemoveAll(filepath.Join(b.dir, "wal")); err != nil {
		t.Fatal(err)
	}
	b.startWithout()
	after := readAll(t, b, "history")
	for p, want := range before {
		if len(after[p]) != len(want) {
			t.Fatalf("partition %d: %d records, %d before", p, len(after[p]), len(want))
		}
		for i := range want {
			if after[p][i] != want[i] {
				t.Fatalf("partition %d offset %d changed", p, i)
			}
		}
	}
	if b.metric("sluice_reads_total", `source="object"`) == 0 {
		t.Error("no read was served from an object")
	}
	// Offsets continue where they were.
	r := &kgo.Record{Value: []byte("next")}
	if err := b.client(kgo.DefaultProduceTopic("history"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner())).ProduceSync(deadline(t), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if want := int64(len(before[r.Partition])); r.Offset != want {
		t.Errorf("the next record has offset %d, want %d", r.Offset, want)
	}
}
