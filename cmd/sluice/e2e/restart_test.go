package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkRestart kills a broker with 1 GiB in its WAL and nothing uploaded. It reports the time until
// the restarted broker serves a request, and its resident memory then.
//
//	go test -run '^$' -bench Restart -benchtime 3x ./cmd/sluice/e2e
func BenchmarkRestart(b *testing.B) {
	dir, addr, admin := b.TempDir(), freePort(b), freePort(b)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[wal]
capacity_bytes = 2147483648
upload_size_bytes = 2147483648
upload_interval_ms = 3600000
[topics]
auto_create = true
[admin]
listen = %q
`, dir, addr, addr, admin)
	k := role(b, "broker", text, admin)
	k.dir, k.addr = dir, addr
	k.must("", "topic", "create", "t", "--partitions", "16")
	fill(b, k, 1<<30)
	if used := k.metric("sluice_wal_used_bytes"); used < 1<<30 {
		b.Fatalf("%.0f bytes in the WAL", used)
	}
	var took time.Duration
	var rss float64
	for b.Loop() {
		k.kill()
		began := time.Now()
		k = role(b, "broker", text, admin)
		k.dir, k.addr = dir, addr
		cl := k.client(kgo.DefaultProduceTopic("t"))
		if err := cl.ProduceSync(deadline(b), &kgo.Record{Value: []byte("again")}).FirstErr(); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
		rss = max(rss, k.metric("process_resident_memory_bytes"))
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "serving-s")
	b.ReportMetric(rss/(1<<20), "MiB-resident")
}

// fill produces the given number of bytes to topic t.
func fill(t testing.TB, b *broker, bytes int) {
	t.Helper()
	cl := b.client(kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(1000))
	value := make([]byte, 16<<10)
	var failed error
	var once sync.Once
	for range bytes / len(value) {
		cl.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := cl.Flush(deadline(t)); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}
