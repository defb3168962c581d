package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// table is a compacted topic with one partition, and the expected last value of each key.
type table struct {
	s     *sweeper
	topic string
	last  map[string]string
	n     int
	rnd   *rand.Rand
}

// write produces n records with random keys out of a number of keys, and waits until they are
// uploaded. Every tenth record is a tombstone.
func (x *table) write(n, keys int, codec kgo.CompressionCodec) {
	x.s.t.Helper()
	cl := x.s.client(kgo.DefaultProduceTopic(x.topic), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(64<<10))
	defer cl.Close()
	for range n {
		r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", x.rnd.IntN(keys))}
		if x.n++; x.n%10 != 0 {
			r.Value = fmt.Appendf(nil, "%d %x", x.n, x.noise(150))
		} // else a tombstone
		x.last[string(r.Key)] = string(r.Value)
		cl.Produce(deadline(x.s.t), r, func(_ *kgo.Record, err error) {
			if err != nil {
				x.s.t.Error(err)
			}
		})
	}
	if err := cl.Flush(deadline(x.s.t)); err != nil {
		x.s.t.Fatal(err)
	}
	within(x.s.t, 30*time.Second, "uploaded", func() bool { return x.s.metric("sluice_upload_pending_bytes") == 0 })
}

// noise returns n incompressible bytes.
func (x *table) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(x.rnd.Uint32())
	}
	return b
}

// check reads the topic from the start and from some random offsets. Every reader reaches the end,
// and a reader from the start sees the last value of every key. check returns the number of records
// from the start.
func (x *table) check() int {
	x.s.t.Helper()
	ends, err := x.s.admins().ListEndOffsets(deadline(x.s.t), x.topic)
	if err != nil {
		x.s.t.Fatal(err)
	}
	end, _ := ends.Lookup(x.topic, 0)
	if end.Offset != int64(x.n) {
		x.s.t.Fatalf("the log ends at %d after %d records", end.Offset, x.n)
	}
	got := x.readFrom(0)
	state := map[string]string{}
	for i, r := range got {
		if i > 0 && r.Offset <= got[i-1].Offset {
			x.s.t.Fatalf("offset %d after %d", r.Offset, got[i-1].Offset)
		}
		state[string(r.Key)] = string(r.Value)
	}
	for k, v := range x.last {
		if state[k] != v {
			x.s.t.Fatalf("%s is %.20q, want %.20q", k, state[k], v)
		}
	}
	for range 3 {
		from := x.rnd.Int64N(int64(x.n))
		if rest := x.readFrom(from); len(rest) > 0 && rest[0].Offset < from {
			x.s.t.Fatalf("a reader from %d got %d", from, rest[0].Offset)
		}
	}
	return len(got)
}

// readFrom reads from an offset through the last record, which compaction never removes.
func (x *table) readFrom(offset int64) (out []*kgo.Record) {
	x.s.t.Helper()
	cl := x.s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{x.topic: {0: kgo.NewOffset().At(offset)}}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for len(out) == 0 || out[len(out)-1].Offset < int64(x.n)-1 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			x.s.t.Fatalf("from %d after %d records: %v", offset, len(out), err)
		}
		out = append(out, fs.Records()...)
	}
	return out
}

// A compacted topic keeps the last value of each key, even across kill -9 during compaction.
func TestCompactionByKey(t *testing.T) {
	s := newSweeper(t)
	s.must("", "topic", "create", "table", "--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0.1")
	x := &table{s: s, topic: "table", last: map[string]string{}, rnd: rand.New(rand.NewPCG(1, 2))}
	s.set("compact", "compact", "paused", 1)
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		x.write(1000, 100, codec)
	}
	if got := x.check(); got != x.n {
		t.Fatalf("%d records before compaction, want %d", got, x.n)
	}
	before := s.objects()

	// Compaction is slow enough to be killed at several points on the way. Nothing is lost, and it
	// starts over.
	s.set("compact", "compact", "paused", 0)
	for _, read := range []float64{0, 500_000, 1_500_000, 2_250_000} {
		s.set("compact", "plan", "check_interval_ms", 100)
		within(t, 30*time.Second, "compaction under way", func() bool {
			return s.metric("sluice_compaction_read_bytes_total") > read || s.metric("sluice_compaction_jobs_total", `outcome="done"`) > 0
		})
		t.Logf("killed after %.0f bytes read, %.0f written, %.0f objects replaced", s.metric("sluice_compaction_read_bytes_total"),
			s.metric("sluice_compaction_written_bytes_total"), s.metric("sluice_compaction_replaced_total"))
		s.kill()
		s.begin()
		x.check()
	}

	s.set("compact", "compact", "bytes_per_second", 32<<20)
	x.write(500, 100, kgo.NoCompression()) // compaction may have finished before the kill
	s.set("compact", "plan", "check_interval_ms", 100)
	within(t, 60*time.Second, "compaction to few records a key", func() bool { // the first job may end before the last upload
		return s.metric("sluice_compaction_jobs_total", `kind="clean"`, `outcome="done"`) > 0 && x.check() <= 200
	})

	// Further rounds, with writes during compaction.
	for range 3 {
		x.write(500, 100, kgo.ZstdCompression())
		x.check()
	}
	s.stop()
	s.begin()
	within(t, 60*time.Second, "old objects deleted", func() bool {
		left := 0
		for name := range s.objects() {
			if before[name] {
				left++
			}
		}
		return left == 0
	})
	x.check()
	x.write(10, 10, kgo.NoCompression())
	x.check()
}

// Small objects are merged into large ones, and readers see no difference.
func TestSmallObjectsAreMerged(t *testing.T) {
	s := newSweeper(t)
	s.must("", "topic", "create", "logs", "--config", "retention.ms=-1")
	s.set("compact", "compact", "paused", 1)
	for range 6 {
		s.fill("logs", 50, time.Now())
	}
	before := s.objects()
	s.set("compact", "compact", "paused", 0)
	s.set("compact", "plan", "min_objects", 4)
	s.set("compact", "plan", "check_interval_ms", 100)
	within(t, 60*time.Second, "merged", func() bool { return s.metric("sluice_compaction_jobs_total", `kind="merge"`, `outcome="done"`) > 0 })
	got := readAll(t, s.broker, "logs")[0]
	s.stop()
	s.begin()
	within(t, 60*time.Second, "small objects deleted", func() bool { return len(s.objects()) <= len(before)-3 })
	again := readAll(t, s.broker, "logs")[0]
	if len(got) != 300 || len(again) != 300 {
		t.Fatalf("%d records after merging, %d after a restart, want 300", len(got), len(again))
	}
	for i, v := range again {
		if want := fmt.Sprintf("%d ", i%50); !strings.HasPrefix(v, want) || got[i] != v {
			t.Fatalf("offset %d is %.20q", i, v)
		}
	}
}
