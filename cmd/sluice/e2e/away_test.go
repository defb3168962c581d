package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// awayFor is how long the object store is away. `make soak` sets ten minutes.
func awayFor(t *testing.T) time.Duration {
	s := os.Getenv("SLUICE_AWAY_FOR")
	if s == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SLUICE_AWAY_FOR: %v", err)
	}
	return d
}

// smallWAL starts a broker whose WAL is full after a few seconds without uploads.
func smallWAL(t *testing.T) (b *broker, text string) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	text = fmt.Sprintf(`
[broker]
data_directory = %q
shutdown_grace_ms = 5000
[network]
quic_listen = %q
tcp_listen = %q
[wal]
segment_size_bytes = 4194304
capacity_bytes = 33554432
upload_size_bytes = 4194304
min_free_bytes = 1048576
[topics]
auto_create = true
[admin]
listen = %q
`, dir, addr, addr, admin)
	b = role(t, "broker", text, admin)
	b.dir, b.addr = dir, addr
	return b, text
}

// producing produces records one at a time until stopped, and counts the acknowledged ones. No
// record may fail: the client retries for as long as necessary.
type producing struct {
	acked atomic.Int64
	stop  context.CancelFunc
	over  chan error
}

func produceSteadily(b *broker, topic string) *producing {
	ctx, cancel := context.WithCancel(context.Background())
	p := &producing{stop: cancel, over: make(chan error, 1)}
	cl := b.client(kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordDeliveryTimeout(time.Hour), kgo.RequestRetries(1<<20), kgo.ProduceRequestTimeout(10*time.Second))
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			value := make([]byte, 64<<10)
			copy(value, fmt.Sprintf("%d|", i))
			err := cl.ProduceSync(context.Background(), &kgo.Record{Value: value}).FirstErr()
			if err != nil {
				p.over <- fmt.Errorf("record %d: %w", i, err)
				return
			}
			p.acked.Add(1)
		}
		p.over <- nil
	}()
	return p
}

// until waits for a condition. On timeout the test fails with what, which describes it.
func until(t testing.TB, b *broker, what string, within time.Duration, done func() bool) {
	t.Helper()
	tick, end := time.NewTicker(50*time.Millisecond), time.After(within)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within %s\n%s", what, within, tail(b.log.String(), 4000))
		}
	}
}

// The object store goes away under load. Producers wait once the WAL is full. When the store is
// back, everything resumes by itself, with no record lost, duplicated or reordered.
func TestObjectStoreAway(t *testing.T) {
	b, _ := smallWAL(t)
	b.must("", "topic", "create", "t")
	p := produceSteadily(b, "t")
	until(t, b, "the first uploads", 60*time.Second, func() bool { return b.metric("sluice_upload_bytes_total") > 8<<20 })

	objects := filepath.Join(b.dir, "objects")
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objects, nil, 0o600); err != nil { // so that the directory cannot be recreated
		t.Fatal(err)
	}
	gone, last, since := time.Now(), int64(-1), time.Now()
	until(t, b, "producers wait", 2*time.Minute, func() bool {
		if n := p.acked.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	t.Logf("producers wait %s after the store went, with %d records acknowledged", since.Sub(gone).Round(time.Millisecond), last)
	until(t, b, "the time that the store is away", awayFor(t)+time.Minute, func() bool { return time.Since(gone) > awayFor(t) })
	if n := p.acked.Load(); n > last+1 {
		t.Errorf("%d records were acknowledged though there was no room", n-last)
	}
	if got := b.metric("sluice_wal_used_bytes"); got > b.metric("sluice_wal_capacity_bytes") {
		t.Errorf("the WAL has %.0f bytes", got)
	}
	select {
	case err := <-p.over:
		t.Fatalf("the producer gave up: %v", err)
	default:
	}

	if err := os.Remove(objects); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(objects+".away", objects); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	until(t, b, "it goes on", time.Minute, func() bool { return p.acked.Load() > last+(48<<20)/(64<<10) }) // more than the WAL holds
	t.Logf("%s after the store was back 48 MiB more were acknowledged", time.Since(back).Round(time.Millisecond))
	p.stop()
	if err := <-p.over; err != nil {
		t.Fatal(err)
	}
	acked := int(p.acked.Load())
	for i, r := range consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), acked) {
		if want := fmt.Sprintf("%d|", i); string(r.Value[:len(want)]) != want || r.Offset != int64(i) {
			t.Fatalf("record %d at offset %d begins with %q", i, r.Offset, r.Value[:12])
		}
	}
}
