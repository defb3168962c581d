package walread_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/walread"
)

// log is a WAL with one byte per position. Missing positions count as reclaimed.
type log map[partition.Position]byte

var errReclaimed = errors.New("reclaimed")

func (l log) ReadAt(_ context.Context, e partition.Entry, dst []byte) error {
	v, ok := l[e.Position]
	if !ok {
		return errReclaimed
	}
	for i := range dst {
		dst[i] = v
	}
	return nil
}

func state() *partition.State {
	return partition.NewState(topic.Partition{Topic: topic.NewID()}, 1, 0, 0)
}

func drive(t *testing.T, l log, relocate func(*flow.Read), reads ...*flow.Read) {
	t.Helper()
	_, verdicts, err := pipelinetest.Drive(t, walread.Stage(l, relocate, newTracker()), &flow.Fetch{Reads: reads})
	if err != nil || errors.Join(verdicts...) != nil {
		t.Fatal(err, verdicts)
	}
}

// newTracker returns a tracker whose metadata queries are never used.
func newTracker() *unreadable.Tracker {
	return unreadable.New(unreadable.DefaultConfig(), unreadable.Deps{Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(), Records: func(unreadable.Place) []unreadable.Records { return []unreadable.Records{{Topic: "t"}} }})
}

func tail(positions ...partition.Position) (out []partition.Entry) {
	for _, p := range positions {
		out = append(out, partition.Entry{Position: p, Size: 10})
	}
	return out
}

func TestServesInOrderAndLeavesOthersAlone(t *testing.T) {
	r := &flow.Read{State: state(), Tail: tail(1, 2)}
	hot := &flow.Read{State: state(), Tail: tail(1)}
	hot.Add([]byte("cached"), flow.FromWriteCache, nil)
	drive(t, log{1: 'a', 2: 'b'}, nil, r, hot, &flow.Read{})
	if r.Bytes != 20 || r.Buffers[0][0] != 'a' || r.Buffers[1][9] != 'b' || r.Source != flow.FromWAL {
		t.Errorf("%+v", r)
	}
	if len(hot.Buffers) != 1 || hot.Source != flow.FromWriteCache {
		t.Errorf("a read that was served already: %+v", hot)
	}
}

func TestReclaimedReadsAreLocatedAgain(t *testing.T) {
	moved := &flow.Read{State: state(), Tail: tail(9)}
	drive(t, log{}, func(r *flow.Read) { r.Object = &meta.ObjectRef{} }, moved)
	if moved.Err != nil || moved.Object == nil || !moved.Cold() {
		t.Errorf("%+v", moved)
	}
	lost := &flow.Read{State: state(), Tail: tail(9)}
	drive(t, log{}, func(*flow.Read) {}, lost)
	if !errors.Is(lost.Err, errReclaimed) {
		t.Errorf("a read that is nowhere: %v", lost.Err)
	}
	part := &flow.Read{State: state(), Tail: tail(1, 9)}
	drive(t, log{1: 'a'}, nil, part)
	if part.Err != nil || part.Bytes != 10 {
		t.Errorf("a read whose second batch is gone: %+v", part)
	}
}

// rotten is a log whose reads fill the buffer, but fail with a checksum error.
type rotten []byte

var errRotten = errors.New("checksum")

func (l rotten) ReadAt(_ context.Context, _ partition.Entry, dst []byte) error {
	copy(dst, l)
	return errRotten
}

// A damaged batch is not served, and does not hide its neighbours.
func TestDamageHidesOnlyOneBatch(t *testing.T) {
	var batches rotten
	var bases []int64
	for base := int64(10); base < 40; base += 10 {
		b := record.NewBuilder()
		b.BaseOffset, b.Epoch = base, 3
		for range 10 {
			b.Add(base, nil, []byte("value"))
		}
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		batches, bases = append(batches, batch...), append(bases, base)
	}
	size := len(batches) / len(bases)
	batches[2*size-1] ^= 1 // damages the middle one
	for offset, want := range map[int64]int64{10: 10, 19: 10, 20: -1, 29: -1, 30: 30, 39: 30} {
		r := &flow.Read{State: state(), Offset: offset, End: 40, Limit: 1 << 20,
			Tail: []partition.Entry{{Base: 10, Count: 30, Size: int32(len(batches)), Epoch: 3, Batches: 3}}}
		_, verdicts, err := pipelinetest.Drive(t, walread.Stage(batches, func(*flow.Read) {}, newTracker()), &flow.Fetch{Reads: []*flow.Read{r}})
		if err != nil || errors.Join(verdicts...) != nil {
			t.Fatal(err, verdicts)
		}
		if want < 0 {
			var said *unreadable.Error
			if !errors.Is(r.Err, errRotten) || r.Bytes != 0 || !errors.As(r.Err, &said) || said.Base != 20 || said.End != 30 {
				t.Errorf("offset %d: %v, %d bytes", offset, r.Err, r.Bytes)
			}
			continue
		}
		if r.Err != nil || r.Bytes != size || record.Batch(r.Buffers[0]).BaseOffset() != want {
			t.Errorf("offset %d: %d bytes, %v", offset, r.Bytes, r.Err)
		}
	}
}
