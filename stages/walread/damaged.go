package walread

import (
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
)

// sound returns the batches of a run that could not be proven as a whole which are
// right all the same, from the one that holds offset on up to the first that is not.
// What is damaged before offset does no harm as long as it tells its length.
func sound(run []byte, e partition.Entry, offset int64) []byte {
	from, to, _ := walk(run, e, offset)
	return run[from:to]
}

// damaged is the place of the first batch from offset on that is not right: the batch,
// if it tells where it ends, else all that follows in the run.
func damaged(p topic.Partition, run []byte, e partition.Entry, offset int64) unreadable.Place {
	_, at, base := walk(run, e, offset)
	where := unreadable.Place{Partition: p, Base: base, End: e.End()}
	if b, _, err := record.Next(run[at:]); err == nil && b.BaseOffset() == base && b.NextOffset() > base && b.NextOffset() <= e.End() {
		where.End = b.NextOffset()
	}
	return where
}

// walk goes through a run up to the first batch from offset on that is not right, at to
// and with base. Those from the one that holds offset on begin at from.
func walk(run []byte, e partition.Entry, offset int64) (from, to int, base int64) {
	base = e.Base
	for to < len(run) {
		b, _, err := record.Next(run[to:])
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
