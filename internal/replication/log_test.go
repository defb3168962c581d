package replication

import (
	"testing"

	"pgregory.net/rapid"
)

// TestLogIsLikeAListOfEpochs compares a Log with a list of every record's epoch.
func TestLogIsLikeAListOfEpochs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Log{PrevEpoch: NoEpoch}
		var of []int32 // epoch of each record, from offset 0 on
		epoch := int32(0)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				epoch += rapid.Int32Range(0, 2).Draw(t, "later by")
				for range rapid.IntRange(1, 4).Draw(t, "records") {
					of = append(of, epoch)
				}
				l.Extend(epoch, int64(len(of)))
				l.Durable = l.Appended
			},
			"truncate": func(t *rapid.T) {
				to := rapid.Int64Range(l.Start, l.Appended).Draw(t, "to")
				l.truncate(to)
				of = of[:to]
				epoch = max(0, l.lastEpoch())
			},
			"reclaim": func(t *rapid.T) { l.reclaim(rapid.Int64Range(0, l.Durable).Draw(t, "below")) },
			"": func(t *rapid.T) {
				if l.Appended != int64(len(of)) {
					t.Fatalf("it ends at %d, want %d", l.Appended, len(of))
				}
				for o := max(l.Start-1, 0); o < l.Appended; o++ {
					if got := l.epochAt(o); got != of[o] {
						t.Fatalf("record %d is of epoch %d, want %d; %+v", o, got, of[o], l)
					}
				}
				for e := range epoch + 2 {
					want, end := NoEpoch, l.Start
					for o := max(l.Start-1, 0); o < l.Appended; o++ {
						if of[o] <= e {
							want, end = of[o], o+1
						}
					}
					if got, at := l.epochEnd(e); got != want || at != end {
						t.Fatalf("epoch %d ends as %d at %d, want %d at %d; %+v of %v", e, got, at, want, end, l, of)
					}
				}
			},
		})
	})
}
