package idempotence

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func batch(pid int64, epoch int16, first, last int32) Batch {
	return Batch{ProducerID: pid, Epoch: epoch, FirstSequence: first, LastSequence: last}
}

func TestCheck(t *testing.T) {
	var ps Producers
	ps.Append(batch(1, 2, 0, 9), 100)
	ps.Append(batch(1, 2, 10, 10), 110)
	for name, tc := range map[string]struct {
		in   Batch
		base int64
		dup  bool
		err  error
	}{
		"not idempotent":        {batch(NoProducer, -1, -1, -1), 0, false, nil},
		"unknown producer":      {batch(7, 0, 55, 60), 0, false, nil},
		"next":                  {batch(1, 2, 11, 12), 0, false, nil},
		"retry of last":         {batch(1, 2, 10, 10), 110, true, nil},
		"retry of older":        {batch(1, 2, 0, 9), 100, true, nil},
		"gap":                   {batch(1, 2, 12, 12), 0, false, ErrOutOfOrder},
		"overlap":               {batch(1, 2, 5, 12), 0, false, ErrOutOfOrder},
		"old epoch":             {batch(1, 1, 11, 11), 0, false, ErrFenced},
		"new epoch from zero":   {batch(1, 3, 0, 3), 0, false, nil},
		"new epoch not at zero": {batch(1, 3, 11, 12), 0, false, ErrOutOfOrder},
	} {
		base, dup, err := ps.Check(tc.in)
		if dup != tc.dup || !errors.Is(err, tc.err) || dup && base != tc.base {
			t.Errorf("%s: got (%d, %v, %v), want (%d, %v, %v)", name, base, dup, err, tc.base, tc.dup, tc.err)
		}
	}
}

func TestSequenceWraps(t *testing.T) {
	var ps Producers
	ps.Append(batch(1, 0, math.MaxInt32-1, math.MaxInt32), 0)
	if _, dup, err := ps.Check(batch(1, 0, 0, 0)); dup || err != nil {
		t.Fatalf("sequence 0 after MaxInt32: dup %v, err %v", dup, err)
	}
}

func TestExpire(t *testing.T) {
	var ps Producers
	ps.Append(Batch{1, 0, 0, 0, 1000}, 0)
	ps.Append(Batch{2, 0, 0, 0, 2000}, 1)
	if ps.Expire(1500); ps.Len() != 1 {
		t.Fatalf("%d producers left, want 1", ps.Len())
	}
}

// Invariant 19: within one (pid, epoch) each sequence is appended once, and a
// retry of any of the last five batches returns its first offset; a snapshot
// taken anywhere changes none of that.
func TestExactlyOnceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ps Producers
		type sent struct {
			b    Batch
			base int64
		}
		log := map[int64][]sent{}
		offset := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pid := rapid.Int64Range(1, 3).Draw(t, "pid")
			old := log[pid]
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0, 1: // a new batch in order
				first := int32(0)
				if len(old) > 0 {
					first = old[len(old)-1].b.LastSequence + 1
				}
				b := batch(pid, 0, first, first+rapid.Int32Range(0, 3).Draw(t, "more"))
				if _, dup, err := ps.Check(b); dup || err != nil {
					t.Fatalf("batch in order refused: %v %v", dup, err)
				}
				ps.Append(b, offset)
				log[pid] = append(old, sent{b, offset})
				offset += int64(b.LastSequence-b.FirstSequence) + 1
			case 2: // a retry
				if len(old) == 0 {
					continue
				}
				s := old[len(old)-1-rapid.IntRange(0, min(len(old), Remembered)-1).Draw(t, "back")]
				base, dup, err := ps.Check(s.b)
				if !dup || err != nil || base != s.base {
					t.Fatalf("retry of %+v: (%d, %v, %v), want %d", s.b, base, dup, err, s.base)
				}
			case 3:
				snap := ps.Snapshot()
				ps = Restore(snap)
				if !reflect.DeepEqual(snap, ps.Snapshot()) {
					t.Fatal("snapshot does not survive a restore")
				}
			}
		}
	})
}
