package walread

import (
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// sound returns the batches of a run that could not be proven as a whole which are
// right all the same, from the one that holds offset on up to the first that is not.
// What is damaged before offset does no harm as long as it tells its length.
func sound(run []byte, e partition.Entry, offset int64) []byte {
	base, from, to := e.Base, 0, 0
	for to < len(run) {
		b, _, err := record.Next(run[to:])
		if err != nil || b.BaseOffset() != base {
			break
		}
		base = b.NextOffset()
		if base > offset && (b.Verify() != nil || b.PartitionLeaderEpoch() != e.Epoch) {
			break
		}
		if to += len(b); base <= offset {
			from = to
		}
	}
	return run[from:to]
}
