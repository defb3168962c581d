package idempotence

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// fresh returns the state of a partition with enough memory for any test.
func fresh() *Producers { return NewTable(1 << 20).Open() }

func restored(t interface{ Fatal(...any) }, snapshots ...[]byte) *Producers {
	ps := fresh()
	for _, s := range snapshots {
		if err := ps.Restore(s, 0); err != nil {
			t.Fatal(err)
		}
	}
	return ps
}

func sent(pid int64, epoch int16, first, last int32) Batch {
	return Batch{ProducerID: pid, Epoch: epoch, FirstSequence: first, LastSequence: last}
}

func TestCheck(t *testing.T) {
	ps := fresh()
	ps.Append(sent(1, 2, 0, 9), 100)
	ps.Append(sent(1, 2, 10, 10), 110)
	for name, tc := range map[string]struct {
		in   Batch
		base int64
		dup  bool
		err  error
	}{
		"not idempotent":        {sent(NoProducer, -1, -1, -1), 0, false, nil},
		"unknown producer":      {sent(7, 0, 55, 60), 0, false, nil},
		"next":                  {sent(1, 2, 11, 12), 0, false, nil},
		"retry of last":         {sent(1, 2, 10, 10), 110, true, nil},
		"retry of older":        {sent(1, 2, 0, 9), 100, true, nil},
		"gap":                   {sent(1, 2, 12, 12), 0, false, ErrOutOfOrder},
		"overlap":               {sent(1, 2, 5, 12), 0, false, ErrOutOfOrder},
		"old epoch":             {sent(1, 1, 11, 11), 0, false, ErrFenced},
		"new epoch from zero":   {sent(1, 3, 0, 3), 0, false, nil},
		"new epoch not at zero": {sent(1, 3, 11, 12), 0, false, ErrOutOfOrder},
	} {
		base, dup, err := ps.Check(tc.in)
		if dup != tc.dup || !errors.Is(err, tc.err) || dup && base != tc.base {
			t.Errorf("%s: got (%d, %v, %v), want (%d, %v, %v)", name, base, dup, err, tc.base, tc.dup, tc.err)
		}
	}
}

func TestSequenceWraps(t *testing.T) {
	ps := fresh()
	ps.Append(sent(1, 0, math.MaxInt32-1, math.MaxInt32), 0)
	if _, dup, err := ps.Check(sent(1, 0, 0, 0)); dup || err != nil {
		t.Fatalf("sequence 0 after MaxInt32: dup %v, err %v", dup, err)
	}
}

func TestExpire(t *testing.T) {
	tb := NewTable(1 << 20)
	ps := tb.Open()
	ps.Append(Batch{1, 0, 0, 0, 1000}, 0)
	ps.Append(Batch{2, 0, 0, 0, 2000}, 1)
	tb.Expire(1500)
	if s := tb.Stats(); ps.Len() != 1 || s.Expired != 1 || s.Bytes != producerBytes+bucketBytes {
		t.Fatalf("%d producers left, want 1: %+v", ps.Len(), s)
	}
}

// Within one (producer id, epoch) each sequence is appended once, and a retry of any of the
// last five batches returns its first offset. A snapshot and restore at any point does not
// change that.
func TestExactlyOnceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := fresh()
		type written struct {
			b    Batch
			base int64
		}
		log := map[int64][]written{}
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
				b := sent(pid, 0, first, first+rapid.Int32Range(0, 3).Draw(t, "more"))
				if _, dup, err := ps.Check(b); dup || err != nil {
					t.Fatalf("batch in order refused: %v %v", dup, err)
				}
				ps.Append(b, offset)
				log[pid] = append(old, written{b, offset})
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
				if ps = restored(t, snap); !bytes.Equal(snap, ps.Snapshot()) {
					t.Fatal("snapshot does not survive a restore")
				}
			}
		}
	})
}

// TestRollbackForgetsWhatIsNotInTheLog: batches that were refused after all may be sent again, the
// ones before them are still recognized, and nothing else is accepted in their place.
func TestRollbackForgetsWhatIsNotInTheLog(t *testing.T) {
	ps := NewTable(1 << 20).Open()
	for i := range int32(7) {
		ps.Append(sent(1, 0, i, i), int64(i))
	}
	ps.Append(sent(2, 0, 0, 0), 7)   // its first
	ps.Append(sent(3, 0, 40, 40), 8) // began before what is known
	ps.Append(sent(1, 0, 7, 7), 9)
	ps.Rollback(6)
	for _, c := range []struct {
		name string
		b    Batch
		base int64
		dup  bool
		err  error
	}{
		{"the last one kept", sent(1, 0, 5, 5), 5, true, nil},
		{"the first one forgotten", sent(1, 0, 6, 6), 0, false, nil},
		{"after that", sent(1, 0, 7, 7), 0, false, ErrOutOfOrder},
		{"a producer's first", sent(2, 0, 0, 0), 0, false, nil},
		{"of one that continues", sent(3, 0, 40, 40), 0, false, nil},
		{"beyond it", sent(3, 0, 41, 41), 0, false, ErrOutOfOrder},
	} {
		if base, dup, err := ps.Check(c.b); base != c.base || dup != c.dup || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v, %v", c.name, base, dup, err)
		}
	}
	ps.Append(sent(1, 0, 6, 6), 6)
	if base, dup, err := ps.Check(sent(1, 0, 6, 6)); base != 6 || !dup || err != nil {
		t.Errorf("sent again: %d, %v, %v", base, dup, err)
	}
}
