package locate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/stages/locate"
)

// fixture returns a partition with records 10..20 in two objects and 20..26 in the
// WAL, there in batches of three. Records below 12 were deleted.
func fixture() (*partition.State, locate.Manifest) {
	s := partition.NewState(topic.Partition{Topic: topic.NewID()}, 1, 12, 20)
	s.Tail.Append(partition.Entry{Base: 20, Count: 3, Size: 100, MaxTimestamp: 220, Position: 1})
	s.Tail.Append(partition.Entry{Base: 23, Count: 3, Size: 100, MaxTimestamp: 250, Position: 2})
	s.Publish(26)
	m := &meta.Partition{LogStart: 12, TierEnd: 20, Objects: []meta.ObjectRef{
		{Base: 10, End: 15, MaxTimestamp: 140}, {Base: 15, End: 20, MaxTimestamp: 190}}}
	return s, func(p topic.Partition) (*meta.Partition, bool) { return m, p == s.ID }
}

// missing returns the error that a locator reports, unchanged.
func missing(_ topic.Partition, _ int64, err error) error { return err }

func TestLocate(t *testing.T) {
	s, manifest := fixture()
	l := locate.New(manifest, missing)
	for _, c := range []struct {
		offset  int64
		max     int
		batches int
		object  int64 // its base offset
		err     error
	}{
		{11, 1000, 0, 0, locate.ErrOutOfRange},
		{12, 1000, 0, 10, nil},
		{15, 1000, 0, 15, nil},
		{19, 1000, 0, 15, nil},
		{20, 1000, 2, 0, nil},
		{22, 1, 1, 0, nil},
		{25, 1000, 1, 0, nil},
		{26, 1000, 0, 0, nil},
		{27, 1000, 0, 0, locate.ErrOutOfRange},
	} {
		r := &flow.Read{State: s, Offset: c.offset, MaxBytes: c.max}
		l.Locate(r, c.max)
		if !errors.Is(r.Err, c.err) || len(r.Tail) != c.batches || (r.Object != nil) != (c.object > 0) ||
			r.Object != nil && r.Object.Base != c.object {
			t.Errorf("offset %d: %d batches, object %v, error %v", c.offset, len(r.Tail), r.Object, r.Err)
		}
	}
}

func TestLocateNeverReturnsUncommittedBatches(t *testing.T) {
	s, manifest := fixture()
	s.Tail.Append(partition.Entry{Base: 26, Count: 1, Size: 100})
	r := &flow.Read{State: s, Offset: 20, MaxBytes: 1 << 20}
	locate.New(manifest, missing).Locate(r, 1<<20)
	if len(r.Tail) != 2 || r.End != 26 {
		t.Errorf("%d batches up to %d", len(r.Tail), r.End)
	}
}

func TestLocateDeletedAndLost(t *testing.T) {
	s, manifest := fixture()
	empty := func(topic.Partition) (*meta.Partition, bool) { return &meta.Partition{TierEnd: 20}, true }
	r := &flow.Read{State: s, Offset: 14, MaxBytes: 1}
	locate.New(empty, missing).Locate(r, 1)
	if !errors.Is(r.Err, locate.ErrMissing) {
		t.Errorf("lost records: %v", r.Err)
	}
	s.Delete()
	r = &flow.Read{State: s, Offset: 20, MaxBytes: 1}
	locate.New(manifest, missing).Locate(r, 1)
	if !errors.Is(r.Err, locate.ErrDeleted) {
		t.Errorf("deleted: %v", r.Err)
	}
}

// batches serves a search by time: the batch of offsets base..base+2 has
// timestamps 10 x offset.
type batches struct{ t *testing.T }

func (b batches) at(base, n int64) record.Batch {
	m := record.NewBuilder()
	m.BaseOffset = base
	for o := base; o < base+n; o++ {
		m.Add(10*o, nil, nil)
	}
	out, err := m.Build()
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b batches) InWAL(_ context.Context, _ topic.Partition, e partition.Entry) ([]byte, error) {
	return b.at(e.Base, int64(e.Count)), nil
}

// InObject serves batches of one record, except the first, which has two. One of them,
// offset 11, was deleted although its timestamp, 135, is late.
func (b batches) InObject(_ context.Context, _ topic.Partition, ref meta.ObjectRef, ms, from int64) (record.Batch, bool, error) {
	for o := ref.Base; o < ref.End; o++ {
		switch {
		case o == 11 || o == 12:
		case o == 10 && ms <= 135 && from < 13:
			early := record.NewBuilder()
			early.BaseOffset = 10
			batch, err := early.Add(100, nil, nil).Add(135, nil, nil).Add(120, nil, nil).Build()
			return batch, true, err
		case o > 12 && 10*o >= ms && o+1 > from:
			return b.at(o, 1), true, nil
		}
	}
	return nil, false, nil
}

func TestByTime(t *testing.T) {
	s, manifest := fixture()
	l := locate.New(manifest, missing)
	for _, c := range []struct {
		ms, want int64
		ok       bool
	}{{0, 12, true}, {125, 13, true}, {141, 15, true}, {200, 20, true}, {221, 23, true}, {250, 25, true}, {251, 0, false}} {
		f, ok, err := l.ByTime(t.Context(), s, c.ms, batches{t})
		if err != nil || ok != c.ok || ok && (f.Offset != c.want || f.Timestamp != 10*c.want) {
			t.Errorf("at %d ms: %+v, %v, %v", c.ms, f, ok, err)
		}
	}
}

// moving ends an upload while a search by time is between objects and WAL.
type moving struct {
	batches
	move func()
}

func (b moving) InWAL(ctx context.Context, p topic.Partition, e partition.Entry) ([]byte, error) {
	b.move()
	return b.batches.InWAL(ctx, p, e)
}

// Batches that move from the WAL into an object during the search are not missed.
func TestByTimeDuringAnUpload(t *testing.T) {
	for _, when := range []string{"before the WAL is searched", "before the WAL is read"} {
		s, manifest := fixture()
		moved, m := false, meta.Partition{}
		move := func() {
			if !moved {
				moved = true
				s.SetTierEnd(26)
				s.Tail.Trim(26)
			}
		}
		l := locate.New(func(p topic.Partition) (*meta.Partition, bool) {
			before, ok := manifest(p)
			if m = *before; moved {
				m.TierEnd, m.Objects = 26, append(m.Objects[:2:2], meta.ObjectRef{Base: 20, End: 26, MaxTimestamp: 250})
			} else if when == "before the WAL is searched" {
				move()
			}
			return &m, ok
		}, missing)
		f, ok, err := l.ByTime(t.Context(), s, 221, moving{batches{t}, move})
		if err != nil || !ok || f.Offset != 23 {
			t.Errorf("%s: %+v, %v, %v", when, f, ok, err)
		}
	}
}
