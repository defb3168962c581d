package upload_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/idempotence"
	memorymap "github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/stages/upload"
)

// remembered returns the state of st's producers as known from the metadata and the
// store alone.
func remembered(t *testing.T, c *catalog, s *shaky, st *partition.State) *idempotence.Producers {
	ps := idempotence.NewTable(1 << 30).Open()
	p := c.parts[st.ID].Producers
	if len(p.Recent) > meta.MaxRecent {
		t.Fatal(len(p.Recent), " bytes are recent")
	}
	for _, x := range p.Sections {
		if n, ok := c.prepared[x.Object]; !ok {
			t.Fatal("a section in an object that was not prepared: ", n)
		}
		b, err := object.ReadSection(t.Context(), s.Object(object.Key(x.Object)), object.Section{Offset: x.Offset, Length: x.Length, CRC: x.CRC})
		if err != nil {
			t.Fatal(err)
		}
		what, err := idempotence.Describe(b)
		if err != nil || what != (idempotence.Summary{Producers: int(x.IDs), FirstID: x.FirstID, LastID: x.LastID, NewestMs: x.NewestMs}) {
			t.Fatalf("%+v is of %+v: %v", x, what, err)
		}
		if err := ps.Restore(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := ps.Restore(p.Recent, 0); err != nil {
		t.Fatal(err)
	}
	return ps
}

// lean returns an uploader with little memory for snapshots, whose accounting is
// checked.
func lean(t *testing.T, m *memory, c *catalog, s *shaky, now clock.Clock, section int64) *upload.Uploader {
	m.catalog = c
	cfg := upload.TestedConfig()
	cfg.SectionBytes = section
	held := memorymap.NewAccount(64 << 20)
	t.Cleanup(func() {
		if held.Used() != 0 {
			t.Error(held.Used(), " bytes of snapshots stay charged")
		}
	})
	return upload.NewUploader(cfg, upload.Deps{Log: m, Images: m, Metadata: c, Store: s, Snapshots: held, Clock: now,
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
}

// history is a sequence of uploads of a partition.
type history struct {
	uploads []stretch
	fails   []bool // whether each step fails
}

type stretch struct {
	ids   []int64 // producer IDs of its batches
	crash bool    // the broker restarts before the upload
}

// However the log of many producers is divided into uploads, whichever steps fail
// and however often the broker restarts: metadata and store agree with the log up
// to the tier end.
func TestSnapshotsAreTheStateOfTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := history{fails: rapid.SliceOfN(rapid.Bool(), 64, 64).Draw(rt, "fails")}
		for range rapid.IntRange(1, 12).Draw(rt, "uploads") {
			h.uploads = append(h.uploads, stretch{rapid.SliceOfN(rapid.Int64Range(0, 600), 1, 300).Draw(rt, "ids"), rapid.IntRange(0, 3).Draw(rt, "crash") == 0})
		}
		var err error
		synctest.Test(t, func(t *testing.T) { err = h.run(t) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func (h history) run(t *testing.T) error {
	now := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	st := newState()
	m, c, s := &memory{}, newCatalog(st), bucket(t)
	whole := idempotence.NewTable(1 << 30).Open()
	step := 0
	fail := func(string) error {
		if step++; step < len(h.fails) && h.fails[step] && step%3 == 0 {
			return errors.New("failed for a test")
		}
		return nil
	}
	c.fail, s.fail = fail, func() error { return fail("put") }
	u := lean(t, m, c, s, now, 8<<10)
	sequences := map[int64]int32{}
	for _, x := range h.uploads {
		for _, id := range x.ids {
			b := m.produce(t, st, id, sequences[id])
			sequences[id]++
			whole.Append(idempotence.Header(b, now.Now().UnixMilli()), b.BaseOffset())
		}
		if x.crash {
			u = lean(t, m, c, s, now, 8<<10)
		}
		if err := runOne(t, t.Context(), u, &upload.Cut{End: m.end(), States: []*partition.State{st}}); err != nil {
			return err
		}
		now.Advance(time.Second)
		if n := len(c.parts[st.ID].Producers.Sections); n > 12 {
			return fmt.Errorf("%d sections", n)
		}
	}
	if got := remembered(t, c, s, st).Snapshot(); !bytes.Equal(got, whole.Snapshot()) {
		return fmt.Errorf("metadata and store say %x, the log %x", got, whole.Snapshot())
	}
	return nil
}

// The metadata added by an upload of one record does not grow with the number of
// producers of the partition, and long-idle producers are dropped.
func TestSectionsOfManyProducers(t *testing.T) {
	now := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	st := newState()
	m, c, s := &memory{}, newCatalog(st), bucket(t)
	u := lean(t, m, c, s, now, 128<<10)
	ship := func() meta.Producers {
		t.Helper()
		if err := runOne(t, t.Context(), u, &upload.Cut{End: m.end(), States: []*partition.State{st}}); err != nil {
			t.Fatal(err)
		}
		return c.parts[st.ID].Producers
	}
	for id := range int64(20_000) {
		m.produce(t, st, id, 0)
	}
	many := ship()
	m.produce(t, st, 20_000, 0)
	one := ship()
	if len(many.Sections) < 2 || len(one.Sections) != len(many.Sections) || len(one.Recent) == 0 || len(one.Recent) > 64 {
		t.Errorf("%d sections and %d bytes, then %d and %d", len(many.Sections), len(many.Recent), len(one.Sections), len(one.Recent))
	}
	if ps := remembered(t, c, s, st); ps.Len() != 20_001 {
		t.Errorf("%d producers are remembered", ps.Len())
	}
	// The store loses a section: uploads continue, and it is still referenced.
	if err := s.Delete(t.Context(), object.Key(one.Sections[0].Object)); err != nil {
		t.Fatal(err)
	}
	for id := range int64(400) {
		m.produce(t, st, 30_000+id, 0)
	}
	if p := ship(); p.Sections[0] != one.Sections[0] || len(p.Recent) != 0 {
		t.Errorf("%+v", p)
	}
	now.Advance(25 * time.Hour)
	m.produce(t, st, 7, 1)
	if p := ship(); len(p.Sections) != 0 || remembered(t, c, s, st).Len() != 1 {
		t.Errorf("after a day there are %+v", p)
	}
}

// produce appends one record of a producer.
func (m *memory) produce(t *testing.T, s *partition.State, id int64, sequence int32) record.Batch {
	b := record.NewBuilder()
	b.BaseOffset, b.Epoch = s.HighWatermark(), s.Epoch()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, sequence
	batch, err := b.Add(1, nil, []byte("v")).Build()
	if err != nil {
		t.Fatal(err)
	}
	m.take(s, batch)
	return batch
}
