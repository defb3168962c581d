package compact

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Job is one unit of work: Merges or Clean.
type Job struct {
	// Life ends when the planner is stopped; the job is then cancelled.
	Life context.Context
	// Merges go into one object; each partition appears at most once.
	Merges []Merge
	Clean  *Clean
}

// Merge replaces adjacent ranges of a partition by one with the same batches.
type Merge struct {
	Topic     string // its name, for the log
	Partition topic.Partition
	Epoch     int32 // leader epoch at planning time
	Old       []meta.ObjectRef
}

func (m *Merge) bytes() int64 { return sum(m.Old) }

// Clean keeps only the latest record of each key below Limit.
type Clean struct {
	Topic     string
	Partition topic.Partition
	Epoch     int32
	Objects   []meta.ObjectRef // from the log start up to Limit
	From      int64            // everything below is clean
	Limit     int64
	// TombstoneMs is how long tombstones stay (delete.retention.ms).
	TombstoneMs int64
}

// partitions returns the partitions of the job.
func (j *Job) partitions() (out []topic.Partition) {
	if j.Clean != nil {
		return []topic.Partition{j.Clean.Partition}
	}
	for _, m := range j.Merges {
		out = append(out, m.Partition)
	}
	return out
}

// describe names a partition in errors.
func describe(name string, p topic.Partition) string {
	return fmt.Sprintf("topic %q partition %d", name, p.Index)
}

func sum(refs []meta.ObjectRef) (n int64) {
	for _, r := range refs {
		n += r.Bytes
	}
	return n
}
