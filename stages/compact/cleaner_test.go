package compact

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
)

var compacted = map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}

func TestCleanKeepsTheLatestOfEachKey(t *testing.T) {
	r := newRig(t, DefaultConfig())
	r.topic(1, compacted)
	r.upload(map[int32][]record.Batch{0: {batch(t, 0, 1, record.None, kv{"a", "1"}, kv{"b", "1"}), batch(t, 2, 2, record.Gzip, kv{"a", "2"})}})
	r.upload(map[int32][]record.Batch{0: {batch(t, 3, 3, record.Zstd, kv{"c", "1"}, kv{"b", "2"}), batch(t, 5, 4, record.Snappy, kv{"a", "3"}, kv{"c", "2"})}})
	if !r.clean(0) {
		t.Fatal("nothing to clean")
	}
	if got := show(r.read(0, 0)); got != "b=2@4 a=3@5 c=2@6" {
		t.Errorf("left %s", got)
	}
	m := r.partition(0)
	if len(m.Objects) != 1 || m.CleanEnd != 7 || m.Objects[0].Base != 0 || m.Objects[0].End != 7 || m.Objects[0].MaxTimestamp != 4 {
		t.Errorf("clean to %d: %+v", m.CleanEnd, m.Objects)
	}
	if r.clean(0) {
		t.Error("cleaned again without new records")
	}
	// Later records supersede clean ones; an object may become empty.
	r.upload(map[int32][]record.Batch{0: {batch(t, 7, 5, record.LZ4, kv{"a", "4"}, kv{"b", "3"}, kv{"c", "3"}, kv{"c", "4"}, kv{"c", "5"})}})
	apart := *r.c.Config()
	apart.TargetBytes = 1
	r.c.Limits = setting.NewLimits("compact/compact", apart) // so that objects stay apart
	r.clean(0)
	if got := show(r.read(0, 0)); got != "a=4@7 b=3@8 c=5@11" {
		t.Errorf("left %s", got)
	}
	m = r.partition(0)
	if len(m.Objects) != 2 || m.Objects[0].Bytes != record.HeaderSize || m.Objects[0].MaxTimestamp != -1 {
		t.Errorf("%+v", m.Objects)
	}
	for offset := range int64(12) {
		if got := r.read(0, offset); got[len(got)-1].Offset != 11 {
			t.Errorf("a reader from %d ends with %s", offset, show(got))
		}
	}
}

func TestTombstonesExpire(t *testing.T) {
	r := newRig(t, DefaultConfig())
	r.topic(1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "delete.retention.ms": "60000"})
	more := func(offset int64) {
		r.upload(map[int32][]record.Batch{0: {batch(t, offset, 1, record.None, kv{"z", fmt.Sprint(offset)})}})
	}
	r.upload(map[int32][]record.Batch{0: {batch(t, 0, 7, record.Zstd, kv{"a", "1"}, kv{"b", "1"}, kv{"a", ""})}})
	r.clean(0)
	if got := r.read(0, 0); show(got) != "b=1@1 a@2" || got[1].Timestamp != 7 {
		t.Fatalf("left %s", show(got))
	}
	r.clock.Advance(59 * time.Second)
	more(3)
	r.clean(0)
	if got := show(r.read(0, 0)); got != "b=1@1 a@2 z=3@3" {
		t.Fatalf("after 59s there is %s", got)
	}
	r.clock.Advance(time.Second)
	more(4)
	r.clean(0)
	if got := show(r.read(0, 0)); got != "b=1@1 z=4@4" {
		t.Fatalf("after 60s there is %s", got)
	}
}

func TestRecordsThatCompactionKeeps(t *testing.T) {
	build := func(base int64, change func(*record.Builder), records ...kv) record.Batch {
		m := record.NewBuilder()
		m.BaseOffset = base
		change(m)
		for _, x := range records {
			m.Add(1, []byte(x.k), []byte(x.v))
		}
		b, err := m.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	producer := func(id int64) func(*record.Builder) {
		return func(m *record.Builder) { m.ProducerID, m.ProducerEpoch, m.BaseSequence = id, 0, 40 }
	}
	r := newRig(t, DefaultConfig())
	r.topic(1, compacted)
	r.last = map[int64]int64{8: 1}
	keyless := record.NewBuilder()
	keyless.BaseOffset = 5
	keyless.Add(1, nil, []byte("no key"))
	nokey, err := keyless.Build()
	if err != nil {
		t.Fatal(err)
	}
	r.upload(map[int32][]record.Batch{0: {
		build(0, producer(8), kv{"a", "1"}),
		build(1, producer(8), kv{"a", "2"}), // the producer's last
		build(2, producer(9), kv{"a", "3"}), // by a forgotten producer
		build(3, func(m *record.Builder) { m.Control, m.Transactional, m.ProducerID, m.ProducerEpoch = true, true, 8, 0 }, kv{"\x00\x00\x00\x01", "marker"}),
		build(4, func(m *record.Builder) {
			m.Transactional, m.ProducerID, m.ProducerEpoch, m.BaseSequence = true, 8, 0, 41
		}, kv{"b", "tx"}),
		nokey,
		build(6, func(*record.Builder) {}, kv{"a", "4"}),
	}})
	r.clean(0)
	var got []string
	m := r.partition(0)
	for _, b := range r.fetch(0, m.Objects[0], 0) {
		got = append(got, fmt.Sprintf("%d+%d", b.BaseOffset(), b.Count()))
		if b.BaseOffset() == 1 && (b.ProducerID() != 8 || b.BaseSequence() != 40 || b.LastSequence() != 40) {
			t.Errorf("the producer's last batch is of producer %d with sequence %d", b.ProducerID(), b.BaseSequence())
		}
	}
	if want := "[1+0 3+1 4+1 6+1]"; fmt.Sprint(got) != want {
		t.Errorf("batches %v, want %s", got, want)
	}
}

func TestSmallIndexTakesSeveralPasses(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MemoryBytes = 1 << 20
	r := newRig(t, cfg)
	r.topic(1, compacted)
	x := newIndex(r.c.indexBytes())
	most := x.most / 4 * 3
	n := int64(2*most + most/2)
	var batches []record.Batch
	for base := int64(0); base < 2*n; base += 500 {
		var records []kv
		for o := base; o < min(base+500, 2*n); o++ {
			records = append(records, kv{fmt.Sprint(o % n), fmt.Sprint(o)})
		}
		batches = append(batches, batch(t, base, 1, record.Zstd, records...))
	}
	r.upload(map[int32][]record.Batch{0: batches})
	r.clean(0)
	got := r.read(0, 0)
	if int64(len(got)) != n || got[0].Offset != n {
		t.Fatalf("%d records from %d, want %d", len(got), got[0].Offset, n)
	}
	if m := r.partition(0); m.CleanEnd != 2*n || r.meta.replaced < 4 {
		t.Errorf("clean to %d of %d in %d passes", m.CleanEnd, 2*n, r.meta.replaced)
	}
}

// After any sequence of writes, cleanings and failures, the last value of each
// key is present, records are unchanged and in order, tombstones disappear only
// when allowed, and a reader from any offset reaches the end.
func TestCleaningAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig()
		cfg.TargetBytes = rapid.SampledFrom([]int64{1, 200, 1 << 20}).Draw(t, "target")
		r := newRig(t, cfg)
		r.topic(1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "delete.retention.ms": "1000",
			"min.compaction.lag.ms": rapid.SampledFrom([]string{"0", "2000"}).Draw(t, "lag")})
		type written struct {
			kv
			offset, at int64
		}
		var log []written
		check := func(t *rapid.T) {
			got := r.read(0, 0)
			last := map[string]written{}
			for _, w := range log {
				last[w.k] = w
			}
			seen := map[string]int64{}
			previous := int64(-1)
			for _, rec := range got {
				w := log[rec.Offset]
				if rec.Offset <= previous || string(rec.Key) != w.k || string(rec.Value) != w.v || rec.Timestamp != w.at {
					t.Fatalf("offset %d after %d is %s=%s at %d, was %+v", rec.Offset, previous, rec.Key, rec.Value, rec.Timestamp, w)
				}
				previous, seen[w.k] = rec.Offset, rec.Offset
			}
			for k, w := range last {
				offset, ok := seen[k]
				switch {
				case ok && offset != w.offset:
					t.Fatalf("the latest of %s is at %d, want %d", k, offset, w.offset)
				case !ok && (w.v != "" || w.at+1000 > r.clock.Now().UnixMilli()):
					t.Fatalf("%+v is gone at %d", w, r.clock.Now().UnixMilli())
				}
			}
			if n := int64(len(log)); n > 0 {
				from := rapid.Int64Range(0, n-1).Draw(t, "from")
				i := 0
				for i < len(got) && got[i].Offset < from {
					i++
				}
				if rest := r.read(0, from); show(rest) != show(got[i:]) {
					t.Fatalf("from %d: %s, want %s", from, show(rest), show(got[i:]))
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"upload": func(t *rapid.T) {
				var batches []record.Batch
				for range rapid.IntRange(1, 3).Draw(t, "batches") {
					base, now := int64(len(log)), r.clock.Now().UnixMilli()
					var records []kv
					for range rapid.IntRange(1, 4).Draw(t, "records") {
						x := kv{rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key"), rapid.SampledFrom([]string{"", "x", "yy"}).Draw(t, "value")}
						log = append(log, written{x, int64(len(log)), now})
						records = append(records, x)
					}
					batches = append(batches, batch(t, base, now, rapid.SampledFrom([]record.Codec{record.None, record.Snappy}).Draw(t, "codec"), records...))
				}
				r.upload(map[int32][]record.Batch{0: batches})
			},
			"clean": func(*rapid.T) { r.clean(0) },
			"fail": func(t *rapid.T) {
				left := rapid.IntRange(0, 2).Draw(t, "replacements before the failure")
				r.meta.fail = func(meta.Replacement) error {
					if left--; left < 0 {
						return meta.ErrUnavailable
					}
					return nil
				}
				if c, _ := NewPlanner(*r.c.Config(), 1, r.meta.view, r.clock).plan(r.meta.topic.ID, 0); c != nil {
					_ = r.c.job(context.Background(), &Job{Life: context.Background(), Clean: c})
				}
				r.meta.fail = nil
			},
			"merge": func(t *rapid.T) {
				m := r.partition(0)
				if len(m.Objects) < 2 {
					t.Skip("nothing to merge")
				}
				old := m.Objects[len(m.Objects)-2:]
				if err := r.c.merge(context.Background(), []Merge{{"t", r.at(0), m.Epoch, old}}); err != nil {
					t.Fatal(err)
				}
			},
			"wait": func(t *rapid.T) {
				r.clock.Advance(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
			},
			"": check,
		})
	})
}

func TestCleanable(t *testing.T) {
	const now = 100_000
	objects := []meta.ObjectRef{{Base: 0, End: 10, Bytes: 600, MaxTimestamp: 10_000, WrittenMs: 10_000}, {Base: 10, End: 20, Bytes: 300, MaxTimestamp: 50_000, WrittenMs: 50_000},
		{Base: 20, End: 30, Bytes: 100, MaxTimestamp: 1 << 50, WrittenMs: 90_000}}
	never := int64(1<<63 - 1)
	for name, c := range map[string]struct {
		r           rules
		clean       int64
		from, limit int64 // limit 0: nothing to clean
	}{
		"all dirty":                  {rules{0, never, 0.5, 0}, 0, 0, 30},
		"ratio not exceeded":         {rules{0, never, 0.4, 0}, 10, 0, 0},
		"ratio exceeded":             {rules{0, never, 0.39, 0}, 10, 10, 30},
		"all clean":                  {rules{0, never, 0, 0}, 30, 0, 0},
		"all clean and overdue":      {rules{0, 1, 0, 0}, 30, 0, 0},
		"overdue whatever the ratio": {rules{0, 20_000, 0.9, 0}, 20, 0, 0},
		"overdue":                    {rules{0, 9_000, 0.9, 0}, 20, 20, 30},
		"young records stay":         {rules{20_000, never, 0, 0}, 0, 0, 20},
		"young records do not count for the ratio": {rules{20_000, never, 0.34, 0}, 10, 0, 0},
		"only young records":                       {rules{99_000, never, 0, 0}, 0, 0, 0},
		"in the middle of an object":               {rules{0, never, 0, 0}, 25, 25, 30},
	} {
		m := &meta.Partition{Objects: objects, TierEnd: 30, CleanEnd: c.clean}
		got := c.r.cleanable(topic.Partition{}, m, now)
		switch {
		case got == nil && c.limit != 0, got != nil && (got.From != c.from || got.Limit != c.limit || got.Objects[len(got.Objects)-1].End != c.limit):
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestFailedJobsChangeNothing(t *testing.T) {
	for name, breaks := range map[string]func(*rig){
		"put":     func(r *rig) { r.store.putFail = errors.New("unavailable") },
		"replace": func(r *rig) { r.meta.fail = func(meta.Replacement) error { return meta.ErrUnavailable } },
		"epoch":   func(r *rig) { r.meta.topic.Partitions[0].Epoch++ },
		"object":  func(r *rig) { r.store.objects = map[string][]byte{} },
		"corrupt": func(r *rig) { r.store.objects[object.Key(r.partition(0).Objects[0].ID)][70] ^= 1 },
	} {
		r := newRig(t, DefaultConfig())
		r.topic(1, compacted)
		r.upload(map[int32][]record.Batch{0: {batch(t, 0, 1, record.None, kv{"a", "1"}, kv{"a", "2"})}})
		c, _ := NewPlanner(*r.c.Config(), 1, r.meta.view, r.clock).plan(r.meta.topic.ID, 0)
		before := r.partition(0).Objects[0]
		breaks(r)
		if err := r.c.job(context.Background(), &Job{Life: context.Background(), Clean: c}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if m := r.partition(0); m.Objects[0] != before || m.CleanEnd != 0 {
			t.Errorf("%s: changed to %+v", name, m)
		}
	}
}
