package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// With a WAL of two segments and a store faster than the WAL's disk, segments are reclaimed and reused
// several times a second, while groups are being written to them. No acknowledged record may be missing
// after kill -9.
func TestSegmentsThatAreUsedAgainAndAgain(t *testing.T) {
	for _, fsync := range []bool{true, false} {
		t.Run(fmt.Sprintf("fsync_on_write=%t", fsync), func(t *testing.T) { segmentsUsedAgain(t, fsync) })
	}
}

func segmentsUsedAgain(t *testing.T, fsync bool) {
	store, err := os.MkdirTemp("/dev/shm", "sluice-e2e-")
	if err != nil {
		store = t.TempDir() // no RAM disk: the same test with a slower store
	}
	t.Cleanup(func() { os.RemoveAll(store) })
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
shutdown_grace_ms = 5000
[network]
quic_listen = %q
tcp_listen = %q
[wal]
segment_size_bytes = 1048576
capacity_bytes = 2097152
upload_size_bytes = 1048576
min_free_bytes = 1048576
fsync_on_write = %t
flush_interval_ms = 5
[object_storage]
url = "file://%s"
[topics]
auto_create = true
[admin]
listen = %q
`, dir, addr, addr, fsync, store, admin)
	b := role(t, "broker", text, admin)
	b.dir, b.addr = dir, addr
	const partitions = 6
	b.createTopic("t", partitions)
	acked := make([][]string, partitions)
	for round := range 3 {
		produceUntilKilled(t, b, acked, round)
		b = role(t, "broker", text, admin)
		b.dir, b.addr = dir, addr
	}
	got := readAll(t, b, "t")
	for p := range acked {
		checkLog(t, p, acked[p], got[int32(p)])
	}
	if n := b.metric("sluice_wal_failed"); n != 0 {
		t.Error("the WAL has failed")
	}
}

// produceUntilKilled runs one producer per partition, which sends 8 batches of 2 kB at a time, and kills
// the broker once more than 20 segments were reclaimed. It adds acknowledged records to acked.
func produceUntilKilled(t *testing.T, b *broker, acked [][]string, round int) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	pad := string(bytes.Repeat([]byte("x"), 2000))
	var producers sync.WaitGroup
	for p := range acked {
		cl := b.client(kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
			kgo.ProducerBatchMaxBytes(4000), kgo.MaxProduceRequestsInflightPerBroker(8), kgo.RecordDeliveryTimeout(30*time.Second),
			kgo.DisableIdempotentWrite())
		producers.Go(func() {
			defer cl.Close()
			for i := 0; ctx.Err() == nil; i += 8 {
				var records []*kgo.Record
				for j := range 8 {
					records = append(records, &kgo.Record{Partition: int32(p), Value: fmt.Appendf(nil, "%d-%d-%d %s", round, p, i+j, pad)})
				}
				for _, r := range cl.ProduceSync(ctx, records...) {
					if r.Err == nil {
						acked[p] = append(acked[p], string(r.Record.Value))
					}
				}
			}
		})
	}
	before := b.metric("sluice_wal_reclaimed_segments_total")
	until(t, b, "the WAL uses its segments again", 2*time.Minute, func() bool {
		return b.metric("sluice_wal_reclaimed_segments_total") > before+20
	})
	b.kill()
	stop()
	producers.Wait()
}
