package walread

import (
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
)

// sound returns the intact batches of a range that failed verification as a
// whole, from the one that holds offset up to the first damaged one. Damage
// before offset does no harm as long as the batch's length is intact.
func sound(batches []byte, e partition.Entry, offset int64) []byte {
	from, to, _ := walk(batches, e, offset)
	return batches[from:to]
}

// damaged returns the range of the first damaged batch at or after offset: that
// batch, if it tells where it ends, otherwise everything that follows.
func damaged(p topic.Partition, batches []byte, e partition.Entry, offset int64) unreadable.Place {
	_, at, base := walk(batches, e, offset)
	where := unreadable.Place{Partition: p, Base: base, End: e.End()}
	if b, _, err := record.Next(batches[at:]); err == nil && b.BaseOffset() == base && b.NextOffset() > base && b.NextOffset() <= e.End() {
		where.End = b.NextOffset()
	}
	return where
}

// walk goes through the batches up to the first damaged one at or after offset,
// which is at to and has base offset base. The one that holds offset begins at
// from.
func walk(batches []byte, e partition.Entry, offset int64) (from, to int, base int64) {
	base = e.Base
	for to < len(batches) {
		b, _, err := record.Next(batches[to:])
		if err != nil || b.BaseOffset() != base {
			break
		}
		next := b.NextOffset()
		if next > offset && (b.Verify() != nil || b.PartitionLeaderEpoch() != e.Epoch) {
			break
		}
		base = next
		if to += len(b); base <= offset {
			from = to
		}
	}
	return from, to, base
}
