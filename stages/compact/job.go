package compact

import (
	"context"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Job is one piece of work: Merges, or Clean.
type Job struct {
	// Life ends when the planner is stopped; the job is then given up.
	Life context.Context
	// Merges go into one object, a partition at most once.
	Merges []Merge
	Clean  *Clean
}

// Merge replaces adjacent ranges of a partition by one with the same batches.
type Merge struct {
	Partition topic.Partition
	Epoch     int32 // leader epoch under which it was planned
	Old       []meta.ObjectRef
}

func (m *Merge) bytes() int64 { return sum(m.Old) }

// Clean leaves the latest record of each key below Limit.
type Clean struct {
	Partition topic.Partition
	Epoch     int32
	Objects   []meta.ObjectRef // from the front of the manifest up to Limit
	From      int64            // below it, it was done before
	Limit     int64
	// Last has the base offset of the last batch of each idempotent producer that the
	// partition remembers.
	Last map[int64]int64
	// TombstoneMs is how long tombstones stay (delete.retention.ms).
	TombstoneMs int64
}

func sum(refs []meta.ObjectRef) (n int64) {
	for _, r := range refs {
		n += r.Bytes
	}
	return n
}
