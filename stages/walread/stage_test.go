package walread_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/walread"
)

// log has one byte value a position; positions it does not have are reclaimed.
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

func drive(t *testing.T, l log, relocate func(*flow.Read), reads ...*flow.Read) {
	t.Helper()
	_, verdicts, err := pipelinetest.Drive(t, walread.Stage(l, relocate), &flow.Fetch{Reads: reads})
	if err != nil || errors.Join(verdicts...) != nil {
		t.Fatal(err, verdicts)
	}
}

func tail(positions ...partition.Position) (out []partition.Entry) {
	for _, p := range positions {
		out = append(out, partition.Entry{Position: p, Size: 10})
	}
	return out
}

func TestServesInOrderAndLeavesOthersAlone(t *testing.T) {
	r := &flow.Read{Tail: tail(1, 2)}
	hot := &flow.Read{Tail: tail(1)}
	hot.Add([]byte("cached"), flow.FromWriteCache, nil)
	drive(t, log{1: 'a', 2: 'b'}, nil, r, hot, &flow.Read{})
	if r.Bytes != 20 || r.Segments[0][0] != 'a' || r.Segments[1][9] != 'b' || r.Source != flow.FromWAL {
		t.Errorf("%+v", r)
	}
	if len(hot.Segments) != 1 || hot.Source != flow.FromWriteCache {
		t.Errorf("a read that was served already: %+v", hot)
	}
}

func TestReclaimedReadsAreLocatedAnew(t *testing.T) {
	moved := &flow.Read{Tail: tail(9)}
	drive(t, log{}, func(r *flow.Read) { r.Object = &meta.ObjectRef{} }, moved)
	if moved.Err != nil || moved.Object == nil || !moved.Cold() {
		t.Errorf("%+v", moved)
	}
	lost := &flow.Read{Tail: tail(9)}
	drive(t, log{}, func(*flow.Read) {}, lost)
	if !errors.Is(lost.Err, errReclaimed) {
		t.Errorf("a read that is nowhere: %v", lost.Err)
	}
	part := &flow.Read{Tail: tail(1, 9)}
	drive(t, log{1: 'a'}, nil, part)
	if part.Err != nil || part.Bytes != 10 {
		t.Errorf("a read whose second batch is gone: %+v", part)
	}
}
