package compact

import (
	"math"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// mergeable returns the first adjacent objects that are worth merging: at least
// min of them, at most target bytes, and none larger than a quarter of the total,
// so that a record is rewritten only when its object grows at least fourfold.
func mergeable(objects []meta.ObjectRef, min int, target int64) []meta.ObjectRef {
	for from := 0; from+min <= len(objects); from++ {
		var total, largest int64
		best := 0
		for i, o := range objects[from:] {
			if total += o.Bytes; total > target {
				break
			}
			largest = max(largest, o.Bytes)
			if i+1 >= min && largest <= total/4 {
				best = i + 1
			}
		}
		if best > 0 {
			return objects[from : from+best]
		}
	}
	return nil
}

// rules are a topic's settings for compaction by key.
type rules struct {
	minLagMs, maxLagMs int64
	ratio              float64
	tombstoneMs        int64
}

// rulesOf returns the rules; ok is false for a topic that is not compacted by
// key.
func rulesOf(configs map[string]string) (r rules, ok bool) {
	v := topic.Values(configs)
	return rules{v.Int(topic.MinCompactionLagMs), v.Int(topic.MaxCompactionLagMs), v.Float(topic.MinCleanableRatio),
		v.Int(topic.DeleteRetentionMs)}, v.Has(topic.CleanupPolicy, topic.CleanupCompact)
}

// cleanable returns what there is to clean in a partition, or nil. Objects with
// records younger than the minimum lag are left alone, and so is everything after
// them.
func (r rules) cleanable(id topic.Partition, m *meta.Partition, nowMs int64) *Clean {
	c := &Clean{Partition: id, Epoch: m.Epoch, From: max(m.CleanEnd, m.LogStart), TombstoneMs: r.tombstoneMs}
	var all, dirty int64
	oldest := int64(math.MaxInt64)
	for _, o := range m.Objects {
		if o.End > c.From {
			if r.minLagMs > 0 && o.NewestMs() > nowMs-r.minLagMs {
				break
			}
			dirty += o.Bytes
			oldest = min(oldest, o.NewestMs())
		}
		all += o.Bytes
		c.Objects, c.Limit = append(c.Objects, o), o.End
	}
	overdue := oldest < nowMs-r.maxLagMs
	enough := float64(dirty) > r.ratio*float64(all) // never, if the ratio is NaN
	if dirty == 0 || !overdue && !enough {
		return nil
	}
	return c
}
