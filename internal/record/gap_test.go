package record

import (
	"math"
	"testing"
)

func TestGapHasItsOffsetsAndNoRecords(t *testing.T) {
	for _, c := range []struct{ base, end int64 }{{0, 1}, {7, 20}, {5, 5 + math.MaxInt32}, {3, 3 + 5*math.MaxInt32/2}, {4, 4}} {
		next, rest := c.base, Gap(c.base, c.end, 3)
		for len(rest) > 0 {
			b, more, err := Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(); err != nil || b.BaseOffset() != next || b.NextOffset() <= next || b.Count() != 0 || b.PartitionLeaderEpoch() != 3 || b.ProducerID() != NoProducer {
				t.Fatalf("[%d, %d): %v, offsets [%d, %d)", c.base, c.end, err, b.BaseOffset(), b.NextOffset())
			}
			for range b.Records(1 << 20) {
				t.Error("the gap has a record")
			}
			next, rest = b.NextOffset(), more
		}
		if next != c.end {
			t.Errorf("[%d, %d) ends at %d", c.base, c.end, next)
		}
	}
}
