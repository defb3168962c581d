package objectfetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/readcache"
)

// store counts requests, and can damage or delay their results.
type store struct {
	*objectstore.Store
	reads, under atomic.Int32
	most         atomic.Int32 // highest value of under
	damage       atomic.Bool
	gate         atomic.Pointer[rendezvous] // if set, requests wait for it
}

func (s *store) Object(key string) object.RangeReader { return &reader{s, key} }

type reader struct {
	s   *store
	key string
}

func (r *reader) ReadRange(ctx context.Context, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	return b, r.s.ReadInto(ctx, r.key, off, b)
}

func (s *store) ReadInto(ctx context.Context, key string, off int64, dst ...[]byte) error {
	n := int64(0)
	for _, b := range dst {
		n += int64(len(b))
	}
	s.reads.Add(1)
	s.most.Store(max(s.most.Load(), s.under.Add(1)))
	defer s.under.Add(-1)
	if g := s.gate.Load(); g != nil {
		g.pass(ctx, off, n)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	err := s.Store.ReadInto(ctx, key, off, dst...)
	if err == nil && s.damage.Load() && off < 1<<20 {
		dst[0][len(dst[0])/2] ^= 1
	}
	return err
}

// fixture is one object with 40 batches of 2 records, 64 KiB each, offsets from
// 100, timestamps 1000 + offset.
type fixture struct {
	store *store
	cache *readcache.Cache
	fetch *objectfetch.Fetcher
	state *partition.State
	ref   meta.ObjectRef
	cfg   objectfetch.Config
	reg   *prometheus.Registry
	// uneven makes every fourth batch small, so that some blocks start with one.
	uneven bool
	clock  *clock.Manual
	// moved is the object with the records once they are no longer in ref.
	moved   *meta.ObjectRef
	tracker *unreadable.Tracker
	log     bytes.Buffer
}

// build returns the fixture without read-ahead.
func build(t *testing.T) *fixture {
	t.Helper()
	cfg := objectfetch.DefaultConfig()
	cfg.AheadBytes = 0
	return buildWith(t, cfg, 64<<20)
}

func buildWith(t *testing.T, cfg objectfetch.Config, cacheBytes int64) *fixture {
	t.Helper()
	return buildOf(t, cfg, cacheBytes, false)
}

func buildOf(t *testing.T, cfg objectfetch.Config, cacheBytes int64, uneven bool) *fixture {
	t.Helper()
	s, err := objectstore.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	f := &fixture{store: &store{Store: s}, cfg: cfg, uneven: uneven, clock: clock.NewManual(time.Unix(1e9, 0)),
		state: partition.NewState(topic.Partition{Topic: topic.NewID(), Index: 3}, 0, 100, 180)}
	id := meta.NewObjectID()
	var buf bytes.Buffer
	w := object.NewWriter(&buf, id, 1)
	for i := range int64(40) {
		size := 32 << 10
		if f.uneven {
			size = 43620 // three fill a block
			if i%4 == 3 {
				size = 100
			}
		}
		b := record.NewBuilder()
		b.BaseOffset = 100 + 2*i
		for o := b.BaseOffset; o < b.BaseOffset+2; o++ {
			b.Add(1000+o, nil, bytes.Repeat([]byte{byte(o)}, size))
		}
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append(f.state.ID, batch); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), object.Key(id), &buf); err != nil {
		t.Fatal(err)
	}
	f.ref = meta.ObjectRef{ID: id, Base: 100, End: 180, MaxTimestamp: 1179}
	reg := prometheus.NewRegistry()
	f.reg = reg
	f.cache = readcache.New(cacheBytes, reg)
	records := func(p unreadable.Place) []unreadable.Records {
		if p.Object != f.now().ID {
			return nil
		}
		return []unreadable.Records{{Topic: "t", Partition: 3, Base: p.Base, End: p.End}}
	}
	f.tracker = unreadable.New(unreadable.DefaultConfig(), unreadable.Deps{Records: records, Clock: f.clock,
		Log: slog.New(slog.NewTextHandler(&f.log, nil)), Registry: reg})
	f.fetch = objectfetch.New(f.cfg, objectfetch.Deps{Store: f.store, Cache: f.cache, Tracker: f.tracker, Clock: f.clock, Registry: reg,
		Named: func(p unreadable.Place) bool { return len(records(p)) > 0 },
		Gone:  func(*flow.Read) error { return errGone },
		Next: func(p topic.Partition, offset int64) (meta.ObjectRef, bool) {
			ref := f.now()
			return ref, p == f.state.ID && offset >= ref.Base && offset < ref.End
		}})
	t.Cleanup(f.fetch.Close)
	return f
}

var errGone = errors.New("deleted")

// now returns the current object according to the metadata.
func (f *fixture) now() meta.ObjectRef {
	if f.moved != nil {
		return *f.moved
	}
	return f.ref
}

// read runs one read through both stages, as the read pipeline does.
func (f *fixture) read(t *testing.T, offset int64, maxBytes int) *flow.Read {
	t.Helper()
	r := &flow.Read{State: f.state, Offset: offset, MaxBytes: maxBytes, Object: &f.ref}
	fetch := &flow.Fetch{Reads: []*flow.Read{r}, MaxBytes: maxBytes}
	for _, s := range []func() ([]*flow.Fetch, []error, error){
		func() ([]*flow.Fetch, []error, error) {
			return pipelinetest.Drive(t, readcache.Stage(f.cache, f.fetch.Served), fetch)
		},
		func() ([]*flow.Fetch, []error, error) { return pipelinetest.Drive(t, f.fetch.Stage(), fetch) },
	} {
		if _, verdicts, err := s(); err != nil || errors.Join(verdicts...) != nil {
			t.Fatal(err, verdicts)
		}
	}
	return r
}

// metric returns the value of a counter or gauge without labels.
func (f *fixture) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families {
		if m.GetName() == name {
			return m.GetMetric()[0].GetCounter().GetValue() + m.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// waiting returns once n reads wait for other readers' requests.
func (f *fixture) waiting(t *testing.T, n float64) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); f.metric(t, "sluice_object_shared_requests_total") < n; {
		if time.Now().After(until) {
			t.Fatalf("%v reads are waiting, want %v", f.metric(t, "sluice_object_shared_requests_total"), n)
		}
		<-time.After(time.Millisecond)
	}
}

// offsets returns the offsets of a read's records and checks each record.
func offsets(t *testing.T, r *flow.Read) (out []int64) {
	t.Helper()
	for _, seg := range r.Buffers {
		for rec, err := range record.Batch(seg).Records(1 << 20) {
			if err != nil || rec.Timestamp != 1000+rec.Offset || rec.Value[0] != byte(rec.Offset) {
				t.Fatalf("record %d: %v", rec.Offset, err)
			}
			out = append(out, rec.Offset)
		}
	}
	return out
}

func TestReadsFromTheRequestedOffset(t *testing.T) {
	for _, c := range []struct {
		offset     int64
		max        int
		from, till int64
	}{{100, 1 << 30, 100, 180}, {103, 1, 102, 103}, {151, 100 << 10, 150, 151}, {179, 1 << 20, 178, 179}, {100, 200 << 10, 100, 105}} {
		t.Run(fmt.Sprint(c.offset, c.max), func(t *testing.T) {
			f := build(t)
			got := offsets(t, f.read(t, c.offset, c.max))
			if len(got) == 0 || got[0] != c.from || c.max < 1<<30 && got[len(got)-1] != c.till {
				t.Fatalf("offsets %v, want %d to %d", got, c.from, c.till)
			}
			for i := range got {
				if got[i] != got[0]+int64(i) {
					t.Fatalf("offsets %v have a gap", got)
				}
			}
		})
	}
}

func TestSecondReaderIsServedFromTheCache(t *testing.T) {
	f := build(t)
	if r := f.read(t, 100, 300<<10); r.Source != flow.FromObject {
		t.Fatalf("served from %s", r.Source)
	}
	before := f.store.reads.Load()
	if before != 2 { // footer, blocks
		t.Errorf("%d requests for one read", before)
	}
	r := f.read(t, 100, 200<<10)
	if r.Source != flow.FromReadCache || f.store.reads.Load() != before {
		t.Errorf("served from %s with %d requests", r.Source, f.store.reads.Load()-before)
	}
	offsets(t, r)
}

func TestDamageIsNeverServed(t *testing.T) {
	f := build(t)
	f.read(t, 179, 1) // the footer is cached
	f.store.damage.Store(true)
	r := f.read(t, 100, 1<<20)
	if !errors.Is(r.Err, object.ErrCorrupt) || r.Bytes != 0 {
		t.Fatalf("%d bytes, %v", r.Bytes, r.Err)
	}
	f.store.damage.Store(false)
	f.clock.Advance(time.Minute) // not retried at once
	if r := f.read(t, 100, 1<<20); r.Err != nil {
		t.Errorf("damage was cached: %v", r.Err)
	}
}

func TestLostObjectAndForeignPartition(t *testing.T) {
	f := build(t)
	other := *f
	other.state = partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 100, 180)
	if r := other.read(t, 100, 1); !errors.Is(r.Err, objectfetch.ErrRange) {
		t.Errorf("foreign partition: %v", r.Err)
	}
	f.ref.ID = meta.NewObjectID()
	if r := f.read(t, 100, 1); !errors.Is(r.Err, objectstore.ErrNotFound) {
		t.Errorf("lost object: %v", r.Err)
	}
}

func TestInObject(t *testing.T) {
	f := build(t)
	for _, c := range []struct{ ms, from, base int64 }{{0, 0, 100}, {1101, 0, 100}, {1102, 0, 102}, {1179, 0, 178},
		{0, 101, 100}, {0, 102, 102}, {1102, 150, 150}, {1179, 150, 178}} {
		b, ok, err := f.fetch.InObject(t.Context(), f.state.ID, f.ref, c.ms, c.from)
		if err != nil || !ok || b.BaseOffset() != c.base {
			t.Errorf("at %d from %d: %v, %v", c.ms, c.from, ok, err)
		}
	}
	if _, ok, err := f.fetch.InObject(t.Context(), f.state.ID, f.ref, 1180, 0); ok || err != nil {
		t.Errorf("after the end: %v, %v", ok, err)
	}
}

// A batch that does not fit ends the response: a smaller one in the next block
// must not take its place.
func TestNoBatchIsSkippedForASmallerOne(t *testing.T) {
	cfg := objectfetch.DefaultConfig()
	cfg.AheadBytes = 0
	for size := 60 << 10; size < 700<<10; size += 29 << 10 {
		f := buildOf(t, cfg, 64<<20, true)
		for range 2 { // from the store, then from the cache
			for offset := int64(100); offset < 180; {
				got := offsets(t, f.read(t, offset, size))
				for i := range got {
					if got[i] != got[0]+int64(i) {
						t.Fatalf("%d bytes from offset %d: offsets %v have a gap", size, offset, got)
					}
				}
				offset = got[len(got)-1] + 1
			}
		}
	}
}
