package logmetrics

import (
	"testing"

	"pgregory.net/rapid"
)

// Marks tell when a record was appended, with an error proportional to its age, for any growth of the
// log and any age.
func TestMarksTellTheAgeOfRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const every = 5000 // ms
		var m marks
		var came []int64 // when each record was appended
		now := int64(1_700_000_000_000)
		m.note(0, now)
		for range rapid.IntRange(1, 3000).Draw(t, "ticks") {
			grows := rapid.SampledFrom([]int{0, 0, 0, 1, 7}).Draw(t, "records")
			for i := range grows {
				came = append(came, now+int64(i+1)*every/int64(grows+1))
			}
			now += every
			m.note(int64(len(came)), now)
			if len(m.all) > maxMarks {
				t.Fatalf("%d marks", len(m.all))
			}
		}
		last := int64(0)
		for offset, was := range came {
			at, ok := m.appended(int64(offset))
			if !ok || at < last {
				t.Fatalf("record %d: %d, %v, after %d", offset, at, ok, last)
			}
			last = at
			if off := max(at-was, was-at); float64(off) > 0.35*float64(now-was)+2*every {
				t.Fatalf("record %d is %d s old, and is said to be %d s old", offset, (now-was)/1000, (now-at)/1000)
			}
		}
	})
}

func TestMarksOfALogThatIsCutOff(t *testing.T) {
	var m marks
	m.note(0, 1000)
	m.note(100, 2000)
	m.note(50, 3000) // shorter than before
	m.note(60, 2500) // the clock goes back
	if at, ok := m.appended(55); !ok || at != 3000 {
		t.Errorf("%d, %v", at, ok)
	}
	if _, ok := m.appended(10); ok {
		t.Error("a record from before the first mark has a time")
	}
	if at, ok := m.appended(60); !ok || at != 3000 {
		t.Errorf("the next record: %d, %v", at, ok)
	}
}
