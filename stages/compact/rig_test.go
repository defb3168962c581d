package compact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// fatalist is a *testing.T or a *rapid.T.
type fatalist interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// rig is a compactor with an in-memory store and in-memory metadata.
type rig struct {
	t     fatalist
	clock *clock.Manual
	store *bucket
	meta  *manifests
	c     *Compactor
	last  map[int64]int64 // base offset of each producer's last batch
}

func (r *rig) lastBatch(_ topic.Partition, producer int64) (int64, bool) {
	base, ok := r.last[producer]
	return base, ok
}

func newRig(t fatalist, cfg Config) *rig {
	r := &rig{t: t, clock: clock.NewManual(time.UnixMilli(1_000_000)), store: &bucket{objects: map[string][]byte{}},
		meta: &manifests{prepared: map[meta.ObjectID]bool{}}}
	cfg.BytesPerSecond, cfg.PrepareTTL = 1<<40, time.Hour
	r.c = NewCompactor(cfg, Deps{Metadata: r.meta, Store: r.store, LastBatch: r.lastBatch, Clock: r.clock, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	return r
}

// bucket is an object store.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	putFail error
	reads   int
}

func (b *bucket) Put(_ context.Context, key string, r io.Reader) error {
	data, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err = errors.Join(err, b.putFail); err != nil {
		return err
	}
	b.objects[key] = data
	return nil
}

func (b *bucket) PutSized(ctx context.Context, key string, _ int64, open func() io.ReadCloser) error {
	r := open()
	defer r.Close()
	return b.Put(ctx, key, r)
}

func (b *bucket) Size(_ context.Context, key string) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.objects[key]
	if !ok {
		return 0, errors.New("no object " + key)
	}
	return int64(len(data)), nil
}

func (b *bucket) Object(key string) object.RangeReader { return stored{b, key} }

type stored struct {
	b   *bucket
	key string
}

func (s stored) ReadRange(_ context.Context, off, n int64) ([]byte, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.reads++
	return bytes.Clone(s.b.objects[s.key][off : off+n]), nil
}

// manifests is the metadata of one topic.
type manifests struct {
	mu       sync.Mutex
	topic    meta.Topic
	prepared map[meta.ObjectID]bool
	fail     func(meta.Replacement) error // called before a replacement; an error prevents it
	replaced int
}

func (m *manifests) view() *meta.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topic
	t.Partitions = slices.Clone(t.Partitions)
	return meta.NewView(1, "c", 1, nil, []*meta.Topic{&t})
}

func (m *manifests) PrepareObject(_ context.Context, id meta.ObjectID, _ []topic.Partition, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.prepared[id] = true
	return nil
}

func (m *manifests) ReplaceObjects(_ context.Context, p topic.Partition, r meta.Replacement) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(r); err != nil {
			return err
		}
	}
	next := *m.topic.Partitions[p.Index]
	at := slices.Index(next.Objects, r.Old[0])
	if !m.prepared[r.New.ID] || at < 0 || r.Epoch != next.Epoch || !slices.Equal(next.Objects[at:at+len(r.Old)], r.Old) ||
		r.New.Base != r.Old[0].Base || r.New.End != r.Old[len(r.Old)-1].End {
		return meta.ErrConflict
	}
	next.Objects = slices.Concat(next.Objects[:at], []meta.ObjectRef{r.New}, next.Objects[at+len(r.Old):])
	next.CleanEnd = max(next.CleanEnd, r.CleanEnd)
	m.topic.Partitions[p.Index] = &next
	m.replaced++
	return nil
}

func (r *rig) at(index int32) topic.Partition {
	return topic.Partition{Topic: r.meta.topic.ID, Index: index}
}

// topic creates the topic with n partitions.
func (r *rig) topic(n int, configs map[string]string) {
	r.meta.topic = meta.Topic{Name: "t", ID: topic.NewID(), Configs: configs}
	for range n {
		r.meta.topic.Partitions = append(r.meta.topic.Partitions, &meta.Partition{Leader: 1, Epoch: 4})
	}
}

func (r *rig) partition(index int32) *meta.Partition {
	m, _ := r.meta.view().Partition(r.at(index))
	return m
}

// upload writes batches of partitions, by index, into one object.
func (r *rig) upload(parts map[int32][]record.Batch) {
	id := meta.NewObjectID()
	var buf bytes.Buffer
	w := object.NewWriter(&buf, id, 1)
	for index, batches := range parts {
		next := *r.partition(index)
		ref := meta.ObjectRef{ID: id, Base: next.TierEnd, End: batches[len(batches)-1].NextOffset(), MaxTimestamp: -1, WrittenMs: 1000 + next.TierEnd}
		for _, b := range batches {
			if err := w.Append(r.at(index), b); err != nil {
				r.t.Fatal(err)
			}
			ref.Bytes += int64(len(b))
			ref.MaxTimestamp = max(ref.MaxTimestamp, b.MaxTimestamp())
		}
		next.Objects, next.TierEnd = append(slices.Clone(next.Objects), ref), ref.End
		r.meta.mu.Lock()
		r.meta.topic.Partitions[index] = &next
		r.meta.mu.Unlock()
	}
	if _, err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	r.store.objects[object.Key(id)] = buf.Bytes()
}

// read reads a partition like a consumer from offset on: object by object, block
// by block. It fails if it gets stuck.
func (r *rig) read(index int32, offset int64) (out []record.Record) {
	m := r.partition(index)
	for rounds := 0; offset < m.TierEnd; rounds++ {
		if rounds > 10_000 {
			r.t.Fatalf("stuck at offset %d", offset)
		}
		i, ok := m.ObjectAt(offset)
		if !ok {
			r.t.Fatalf("offset %d is in no object: %+v", offset, m.Objects)
		}
		for _, b := range r.fetch(index, m.Objects[i], offset) {
			if b.NextOffset() <= offset {
				continue
			}
			for rec, err := range b.Records(1 << 20) {
				if err != nil {
					r.t.Fatal(err)
				}
				if rec.Offset >= offset {
					out = append(out, rec.Clone())
				}
			}
			offset = b.NextOffset()
		}
	}
	return out
}

// fetch returns the batches of the block that is read for offset.
func (r *rig) fetch(index int32, ref meta.ObjectRef, offset int64) (out []record.Batch) {
	src := r.store.Object(object.Key(ref.ID))
	size, err := r.store.Size(context.Background(), object.Key(ref.ID))
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := object.ReadFooter(context.Background(), src, size)
	if err != nil {
		r.t.Fatal(err)
	}
	rng, ok := f.Range(r.at(index))
	if !ok {
		r.t.Fatalf("%v is not in object %s", r.at(index), ref.ID)
	}
	i, ok := rng.Find(offset)
	if !ok {
		r.t.Fatalf("offset %d of [%d, %d) is not in [%d, %d)", offset, ref.Base, ref.End, rng.Base, rng.End)
	}
	data, _ := src.ReadRange(context.Background(), rng.Blocks[i].Offset, rng.Blocks[i].Length)
	for len(data) > 0 {
		var b record.Batch
		if b, data, err = record.Next(data); err != nil {
			r.t.Fatal(err)
		}
		if err := b.Verify(); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// kv is a record to write; an empty value is a tombstone.
type kv struct{ k, v string }

// batch returns a batch at offset base with timestamp ms.
func batch(t fatalist, base, ms int64, codec record.Codec, records ...kv) record.Batch {
	m := record.NewBuilder()
	m.BaseOffset, m.Codec = base, codec
	for _, r := range records {
		var value []byte
		if r.v != "" {
			value = []byte(r.v)
		}
		m.Add(ms, []byte(r.k), value)
	}
	b, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// clean runs the clean that the planner would start now; it returns false if
// there is none.
func (r *rig) clean(index int32) bool {
	c, _ := NewPlanner(*r.c.Config(), 1, r.meta.view, r.clock).plan(r.meta.topic.ID, index)
	if c == nil {
		return false
	}
	if err := r.c.job(context.Background(), &Job{Life: context.Background(), Clean: c}); err != nil {
		r.t.Fatal(err)
	}
	return true
}

// show formats the records as key=value@offset.
func show(records []record.Record) string {
	var b bytes.Buffer
	for _, r := range records {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.Write(r.Key)
		if r.Value != nil {
			b.WriteByte('=')
			b.Write(r.Value)
		}
		b.WriteString("@" + strconv.FormatInt(r.Offset, 10))
	}
	return b.String()
}
