package upload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/upload"
)

// memory is an in-memory WAL: positions are indexes into bytes.
type memory struct {
	bytes     []byte
	mu        sync.Mutex // guards the fields below; objects of a cut are committed concurrently
	batches   []inMemory // not reclaimed
	catalog   *catalog   // knows which topics are deleted
	reclaimed partition.Position
	age       time.Duration // of the records written
	bad       func(partition.Entry) error
}

type inMemory struct {
	state    *partition.State
	next     int64 // offset
	position partition.Position
}

func (m *memory) ReadAt(_ context.Context, e partition.Entry, dst []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Position < m.reclaimed {
		return errors.New("reclaimed")
	}
	if m.bad != nil {
		if err := m.bad(e); err != nil {
			return err
		}
	}
	copy(dst, m.bytes[e.Position:])
	return nil
}

func (m *memory) ReadMany(ctx context.Context, reads []*partition.Read) {
	for _, r := range reads {
		r.Err = m.ReadAt(ctx, r.Entry, r.Into)
	}
}

// Reclaim drops everything below the first batch that is neither in objects nor
// deleted.
func (m *memory) Reclaim() {
	view := m.catalog.View()
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.batches) > 0 {
		b := m.batches[0]
		if _, ok := view.Partition(b.state.ID); ok && b.state.TierEnd() < b.next {
			m.reclaimed = b.position
			return
		}
		m.batches = m.batches[1:]
	}
	m.reclaimed = m.end()
}

func (m *memory) Get(partition.Position) (*blockfs.Buffer, bool) { return nil, false }

// write appends a batch of n records of a producer to s and makes it visible.
func (m *memory) write(t *testing.T, s *partition.State, n int, id int64) {
	t.Helper()
	b := record.NewBuilder()
	b.BaseOffset, b.Epoch = s.HighWatermark(), s.Epoch()
	if id >= 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, int32(s.HighWatermark())
	}
	for i := range n {
		b.Add(time.Now().Add(-m.age).UnixMilli(), nil, fmt.Appendf(nil, "%s %d", s.ID, b.BaseOffset+int64(i)))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	m.take(s, batch)
}

// take appends a batch to s and makes it visible.
func (m *memory) take(s *partition.State, batch record.Batch) {
	s.Tail.Append(partition.Entry{Base: batch.BaseOffset(), Position: partition.Position(len(m.bytes)), Size: int32(len(batch)),
		Count: batch.LastOffsetDelta() + 1, MaxTimestamp: batch.MaxTimestamp(), Epoch: s.Epoch()})
	m.batches = append(m.batches, inMemory{s, batch.NextOffset(), m.end()})
	m.bytes = append(m.bytes, batch...)
	s.NoteEpoch(s.Epoch(), batch.BaseOffset())
	s.Publish(batch.NextOffset())
}

func (m *memory) end() partition.Position { return partition.Position(len(m.bytes)) }

// catalog is in-memory metadata with the rules of package consensus: a part is accepted
// only if it continues its partition and its object's prepared time is not over.
type catalog struct {
	mu       sync.Mutex
	parts    map[topic.Partition]*meta.Partition
	prepared map[meta.ObjectID]time.Time // with deadlines
	fail     func(step string) error     // may fail a step, before it or ("after ...") after it
	refuse   topic.Partition             // parts of it are refused with a conflict
}

func newCatalog(states ...*partition.State) *catalog {
	c := &catalog{parts: map[topic.Partition]*meta.Partition{}, prepared: map[meta.ObjectID]time.Time{},
		fail: func(string) error { return nil }}
	for _, s := range states {
		c.parts[s.ID] = &meta.Partition{}
	}
	return c
}

func (c *catalog) View() *meta.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	var topics []*meta.Topic
	for id, p := range c.parts {
		cp := *p
		topics = append(topics, &meta.Topic{Name: id.Topic.String(), ID: id.Topic, Partitions: []*meta.Partition{&cp}})
	}
	return meta.NewView(1, "", 0, nil, topics)
}

func (c *catalog) PrepareObject(_ context.Context, id meta.ObjectID, _ []topic.Partition, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fail("prepare"); err != nil {
		return err
	}
	c.prepared[id] = time.Now().Add(ttl)
	return nil
}

func (c *catalog) CommitObject(_ context.Context, id meta.ObjectID, parts []meta.CommitPart) ([]meta.PartResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fail("commit"); err != nil {
		return nil, err
	}
	expiry, ok := c.prepared[id]
	if !ok {
		return nil, errors.New("commit without prepare")
	}
	var out []meta.PartResult
	for _, p := range parts {
		m, ok := c.parts[p.Partition]
		switch {
		case !ok:
			out = append(out, meta.PartResult{Partition: p.Partition, Err: meta.ErrUnknownTopic})
		case p.Ref.Base != m.TierEnd, p.Partition == c.refuse, !time.Now().Before(expiry):
			out = append(out, meta.PartResult{Partition: p.Partition, Err: meta.ErrConflict})
		default:
			m.Objects = append(slices.Clone(m.Objects), p.Ref)
			m.TierEnd, m.Epochs, m.Producers = p.Ref.End, p.Epochs, p.Producers
			out = append(out, meta.PartResult{Partition: p.Partition})
		}
	}
	return out, c.fail("after commit")
}

// shaky is a store that fails on demand. It reads the contents of a PUT as a store does
// whose responses are lost: half, then all, then all again. All reads must be identical
// and have the declared size.
type shaky struct {
	*objectstore.Store
	fail func() error
}

func (s *shaky) PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error {
	if err := s.fail(); err != nil {
		return err
	}
	half := open()
	if _, err := io.CopyN(io.Discard, half, size/2); err != nil {
		return err
	}
	half.Close()
	whole := open()
	first, err := io.ReadAll(whole)
	if err = errors.Join(err, whole.Close()); err != nil {
		return err
	}
	return s.Store.PutSized(ctx, key, size, func() io.ReadCloser { return &same{open(), first} })
}

// same fails a read that differs from the previous one.
type same struct {
	io.ReadCloser
	before []byte
}

func (s *same) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if !bytes.HasPrefix(s.before, p[:n]) {
		return n, errors.New("the contents have changed")
	}
	s.before = s.before[n:]
	return n, err
}

func bucket(t *testing.T) *shaky {
	t.Helper()
	s, err := objectstore.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &shaky{s, func() error { return nil }}
}

// ship uploads one cut, up to the end of the log.
func ship(t *testing.T, m *memory, c *catalog, s *shaky, own int64, states ...*partition.State) {
	t.Helper()
	m.catalog = c
	cfg := upload.TestedConfig()
	cfg.OwnObjectBytes = own
	u := upload.NewUploader(cfg, upload.Deps{Log: m, Images: m, Metadata: c, Store: s, Clock: clock.System{},
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err := runOne(t, t.Context(), u, &upload.Cut{End: m.end(), States: states, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
}

// runOne runs u on one cut and returns the verdict.
func runOne(t *testing.T, ctx context.Context, u *upload.Uploader, c *upload.Cut) (verdict error) {
	t.Helper()
	in, out, end := pipeline.Pipe[*upload.Cut](1)
	settled := false
	r := pipeline.NewReceipt(func(err error) { settled, verdict = true, err })
	if err := out(ctx, pipeline.Parcel[*upload.Cut]{Body: c, Receipt: r}); err != nil {
		t.Fatal(err)
	}
	end()
	if err := u.Run(ctx, in); err != nil {
		t.Fatal(err)
	}
	if !settled {
		t.Fatal("the cut was not settled")
	}
	return verdict
}

// verify reads back from the store everything that the catalog lists.
func verify(t *testing.T, c *catalog, s *shaky, st *partition.State) {
	t.Helper()
	m := c.parts[st.ID]
	next := int64(0)
	for _, ref := range m.Objects {
		key := object.Key(ref.ID)
		size, err := s.Size(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		f, err := object.ReadFooter(t.Context(), s.Object(key), size)
		if err != nil {
			t.Fatal(err)
		}
		rng, ok := f.Range(st.ID)
		if !ok || rng.Base != next || rng.Base != ref.Base || rng.End != ref.End {
			t.Fatalf("object %s: range %+v, manifest %+v, next %d", ref.ID, rng, ref, next)
		}
		for _, b := range rng.Blocks {
			data, err := s.Object(key).ReadRange(t.Context(), b.Offset, b.Length)
			if err != nil || b.Verify(data) != nil {
				t.Fatal(err, b.Verify(data))
			}
			for len(data) > 0 {
				var batch record.Batch
				if batch, data, err = record.Next(data); err != nil {
					t.Fatal(err)
				}
				for r, err := range batch.Records(1 << 20) {
					if want := fmt.Sprintf("%s %d", st.ID, next); err != nil || string(r.Value) != want {
						t.Fatalf("record %q, %v; want %q", r.Value, err, want)
					}
					next++
				}
			}
		}
	}
	if next != st.HighWatermark() || m.TierEnd != next || st.TierEnd() != next {
		t.Fatalf("%d records in objects, %d in the log, tier end %d and %d", next, st.HighWatermark(), m.TierEnd, st.TierEnd())
	}
	if start, ok := st.Tail.Start(); ok {
		t.Errorf("the tail index still starts at %d", start)
	}
}

func TestUploadsEverythingAndReclaims(t *testing.T) {
	a, b, idle := newState(), newState(), newState()
	a.SetEpoch(4)
	m, c, s := &memory{}, newCatalog(a, b, idle), bucket(t)
	// Old timestamps do not make their producers old.
	m.age = 30 * 24 * time.Hour
	for range 2 { // the second cut continues after the first
		for range 5 {
			m.write(t, a, 3, 77)
			m.write(t, b, 1, -1)
		}
		ship(t, m, c, s, 1<<40, a, b, idle)
		verify(t, c, s, a)
		verify(t, c, s, b)
		if m.reclaimed != m.end() {
			t.Errorf("reclaimed up to %d of %d", m.reclaimed, m.end())
		}
	}
	if x, y := c.parts[a.ID].Objects, c.parts[b.ID].Objects; len(x) != 2 || x[0].ID != y[0].ID || x[1].ID != y[1].ID {
		t.Errorf("objects are not shared: %v, %v", x, y)
	}
	if base, ok := remembered(t, c, s, a).Last(77); !ok || base != 27 || c.parts[a.ID].Producers.Sections != nil {
		t.Errorf("the producer's last batch is remembered at %d, %v", base, ok)
	}
	if e := c.parts[a.ID].Epochs; !slices.Equal(e, []meta.EpochStart{{Epoch: 4, Start: 0}}) {
		t.Errorf("epochs %v", e)
	}
}

func TestLargePartitionsGetObjectsOfTheirOwn(t *testing.T) {
	a, b, d := newState(), newState(), newState()
	m, c, s := &memory{}, newCatalog(a, b, d), bucket(t)
	m.write(t, a, 40, -1)
	m.write(t, b, 1, -1)
	m.write(t, d, 1, -1)
	ship(t, m, c, s, 1<<20, a, b, d)
	if c.parts[a.ID].Objects[0].ID != c.parts[b.ID].Objects[0].ID {
		t.Error("a small partition got an object of its own")
	}
	for range 600 {
		m.write(t, a, 40, -1)
	}
	m.write(t, b, 1, -1)
	ship(t, m, c, s, 1<<20, a, b)
	verify(t, c, s, a)
	if c.parts[a.ID].Objects[1].ID == c.parts[b.ID].Objects[1].ID {
		t.Error("a large partition shares its object")
	}
}

// A cut closed early for the sake of the cache has less data of each partition, but as many objects.
func TestEarlyCutsHaveAsManyObjects(t *testing.T) {
	for reason, shared := range map[string]bool{"size": true, "cache": false} {
		a, b := newState(), newState()
		m, c, s := &memory{}, newCatalog(a, b), bucket(t)
		m.catalog = c
		for range 20 {
			m.write(t, a, 1000, -1)
		}
		m.write(t, b, 1, -1)
		cfg := upload.TestedConfig()
		cfg.OwnObjectBytes = int64(m.end()) * 10 / 9
		u := upload.NewUploader(cfg, upload.Deps{Log: m, Images: m, Metadata: c, Store: s, Clock: clock.System{},
			Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
		if err := runOne(t, t.Context(), u, &upload.Cut{End: m.end(), States: []*partition.State{a, b}, Reason: reason}); err != nil {
			t.Fatal(err)
		}
		if got := c.parts[a.ID].Objects[0].ID == c.parts[b.ID].Objects[0].ID; got != shared {
			t.Errorf("a cut because of %s: the object is shared: %v", reason, got)
		}
	}
}

func TestFailuresAreRetriedWithoutLossOrDuplication(t *testing.T) {
	for _, c := range []struct {
		name string
		step string
	}{{"prepare", "prepare"}, {"put", "put"}, {"commit", "commit"}, {"answer to commit lost", "after commit"}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newState()
				m, cat, s := &memory{}, newCatalog(a), bucket(t)
				m.write(t, a, 3, -1)
				left := 3
				fail := func() error {
					if left--; left >= 0 {
						return meta.ErrUnavailable
					}
					return nil
				}
				if c.step == "put" {
					s.fail = fail
				} else {
					cat.fail = func(step string) error {
						if step != c.step {
							return nil
						}
						return fail()
					}
				}
				ship(t, m, cat, s, 1<<40, a)
				verify(t, cat, s, a)
				if left >= 0 {
					t.Error("no step failed")
				}
			})
		})
	}
}

func TestDeletedTopicsBlockNothing(t *testing.T) {
	kept, gone, unknown := newState(), newState(), newState()
	m, c, s := &memory{}, newCatalog(kept), bucket(t)
	for _, st := range []*partition.State{kept, gone, unknown} {
		m.write(t, st, 1, -1)
	}
	gone.Delete() // unknown is deleted in the metadata, but not yet in its state
	ship(t, m, c, s, 1<<40, kept, gone, unknown)
	verify(t, c, s, kept)
	if m.reclaimed != m.end() {
		t.Errorf("reclaimed up to %d of %d", m.reclaimed, m.end())
	}
}

// A late commit from an earlier run of the broker moves the tier end into the
// middle of an entry: the upload starts there.
func TestUploadFromTheMiddleOfAnEntry(t *testing.T) {
	before := newState()
	m, c, s := &memory{}, newCatalog(before), bucket(t)
	var entries []partition.Entry
	write := func() {
		for range 3 {
			m.write(t, before, 2, 77)
		}
		entries = slices.AppendSeq(entries, before.Tail.Entries(0, before.HighWatermark()))
	}
	write()
	ship(t, m, c, s, 1<<40, before)
	write()
	m.reclaimed = 0 // a group is reclaimed as a whole
	st := partition.NewState(before.ID, before.Epoch(), 0, 0)
	for _, e := range entries {
		st.Tail.Append(e)
	}
	st.NoteEpoch(before.Epoch(), 0)
	st.Publish(before.HighWatermark())
	if got := slices.Collect(st.Tail.Entries(0, 12)); len(entries) != 2 || len(got) != 1 {
		t.Fatalf("got %d entries before and %d after, want 2 and 1", len(entries), len(got))
	}
	ship(t, m, c, s, 1<<40, st)
	verify(t, c, s, st)
	if o := c.parts[st.ID].Objects; len(o) != 2 || o[1].Base != 6 {
		t.Errorf("objects %+v", o)
	}
	if base, ok := remembered(t, c, s, st).Last(77); !ok || base != 10 {
		t.Errorf("the producer's last batch is remembered at %d, %v", base, ok)
	}
}
