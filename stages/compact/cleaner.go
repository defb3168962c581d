package compact

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Compaction by key, as in Kafka's LogCleaner. A pass first reads the dirty part,
// from offset From on, and indexes the latest offset of each key, up to Limit or
// until the index is full: that is where the pass ends. Then it rewrites
// everything from the log start to there, group by group, dropping each record
// whose key has a later offset in the index.
//
// Invariants:
//
// - A record is dropped only if a later one with its key is committed, below the
//   end of the pass, and stays; so whichever groups are replaced before a crash,
//   no reader misses the latest value of a key.
// - From moves to the end of the pass with its last group, never before.
// - A tombstone is dropped only in a pass after the one that removed all records
//   before it. That earlier pass records in the batch when it may go (KIP-534),
//   so that readers at most delete.retention.ms behind see it.
//
// Kept although their key has a later record: control batches. Left out of the
// index: records of transactions, whose outcome is not known here, so they
// supersede nothing; for the same reason their tombstones stay. Records without a
// key are dropped. The last batch of each producer that the partition remembers
// stays, empty if need be, as does the last of each object.
//
// A batch whose records cannot all be read is opaque: it is kept unchanged and
// supersedes nothing. What is left of it is for its readers to judge.

func (c *Compactor) clean(ctx context.Context, job *Clean) error {
	defer c.index(0)
	for objects, from := job.Objects, job.From; from < job.Limit; {
		p := &pass{Clean: job, unpacked: c.unpackedBytes(), from: from, end: job.Limit, keys: newIndex(c.indexBytes()), nowMs: c.Clock.Now().UnixMilli(), last: c.LastBatch}
		if err := c.survey(ctx, p, objects); err != nil {
			return err
		}
		c.index(p.keys.bytes())
		var err error
		if objects, err = c.rewrite(ctx, p, objects); err != nil {
			return err
		}
		c.metrics.passes.Inc()
		from = p.end
	}
	return nil
}

// pass is one pass over a partition.
type pass struct {
	*Clean
	from, end int64
	keys      *index
	unpacked  int // limit for the decompressed records of one batch
	nowMs     int64
	last      func(topic.Partition, int64) (int64, bool)
}

// survey fills the index and moves the end of the pass to how far it got.
func (c *Compactor) survey(ctx context.Context, p *pass, objects []meta.ObjectRef) error {
	for _, ref := range objects {
		if ref.End <= p.from {
			continue
		}
		for b, err := range c.batches(ctx, p.Partition, ref, p.from) {
			if err != nil {
				return err
			}
			if p.note(b) {
				return nil
			}
		}
	}
	return nil
}

// note indexes the records of b; full says that one did not fit.
func (p *pass) note(b record.Batch) (full bool) {
	if b.IsControl() || b.IsTransactional() || b.Count() == 0 {
		return false
	}
	for r, err := range b.SoundRecords(p.unpacked) {
		if err != nil {
			return false // opaque: it supersedes nothing
		}
		if r.Offset < p.from || r.Key == nil {
			continue
		}
		if !p.keys.put(r.Key, r.Offset) {
			p.end = r.Offset
			return true
		}
	}
	return false
}

// rewrite replaces the objects below the end of the pass, and returns the
// resulting manifest.
func (c *Compactor) rewrite(ctx context.Context, p *pass, objects []meta.ObjectRef) ([]meta.ObjectRef, error) {
	n := sort.Search(len(objects), func(i int) bool { return objects[i].Base >= p.end })
	var now []meta.ObjectRef
	for left := objects[:n]; len(left) > 0; {
		group := left[:groupOf(left, c.Config().TargetBytes)]
		left = left[len(group):]
		err := c.write(ctx, []topic.Partition{p.Partition}, func(ctx context.Context, out *output) error {
			return c.filterGroup(ctx, out, p, group)
		}, func(ctx context.Context, refs []meta.ObjectRef) error {
			r := meta.Replacement{Epoch: p.Epoch, Old: group, New: refs[0]}
			if len(left) == 0 {
				r.CleanEnd = p.end
			}
			now = append(now, refs[0])
			return c.replace(ctx, p.Partition, r)
		})
		if err != nil {
			return nil, err
		}
	}
	return append(now, objects[n:]...), nil
}

// groupOf returns how many of the first objects fit into n bytes, at least 1.
func groupOf(objects []meta.ObjectRef, n int64) int {
	for i, o := range objects {
		if n -= o.Bytes; n < 0 {
			return max(i, 1)
		}
	}
	return len(objects)
}

// filterGroup writes what stays of a group.
func (c *Compactor) filterGroup(ctx context.Context, out *output, p *pass, group []meta.ObjectRef) error {
	out.begin(p.Partition, group)
	f := &record.Filter{MaxUnpacked: p.unpacked}
	var last record.Batch // if not nil, the last dropped batch: a copy without records
	for _, ref := range group {
		for b, err := range c.batches(ctx, p.Partition, ref, ref.Base) {
			if err != nil {
				return err
			}
			kept, n, err := p.filter(f, b)
			if unreadable(err) {
				c.keepOpaque(p, ref, b, err)
				if last, err = nil, out.append(b); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("object %s: %w", ref.ID, err)
			}
			c.metrics.removed.Add(float64(int(b.Count()) - n))
			if last = nil; n == 0 && !b.IsControl() && !p.remembered(b) {
				c.metrics.emptied.Inc()
				last = slices.Clone(kept)
				continue
			}
			if err := out.append(kept); err != nil {
				return err
			}
		}
	}
	if last != nil {
		if err := out.append(last); err != nil {
			return err
		}
	}
	return out.end()
}

// remembered reports whether b is the last batch of an idempotent producer.
func (p *pass) remembered(b record.Batch) bool {
	base, ok := p.last(p.Partition, b.ProducerID())
	return ok && base == b.BaseOffset()
}

// filter returns what stays of b and how many records that is.
func (p *pass) filter(f *record.Filter, b record.Batch) (record.Batch, int, error) {
	if b.IsControl() || b.BaseOffset() >= p.end {
		return b, int(b.Count()), nil
	}
	horizon, set := b.DeleteHorizon()
	tombstones := false // tombstones stay in a batch that has no delete horizon yet
	f.DeleteHorizonMs = 0
	f.Keep = func(r record.Record) bool {
		switch {
		case r.Offset >= p.end:
			return true
		case r.Key == nil:
			return false
		}
		if latest, ok := p.keys.get(r.Key); ok && latest > r.Offset {
			return false
		}
		if r.Value != nil {
			return true
		}
		tombstones = true
		return !set || p.nowMs < horizon
	}
	kept, n, err := f.Apply(b)
	if err != nil || set || !tombstones || b.IsTransactional() || b.NextOffset() > p.end {
		return kept, n, err
	}
	f.Keep, f.DeleteHorizonMs = nil, p.nowMs+min(p.TombstoneMs, math.MaxInt64-p.nowMs)
	return f.Apply(kept)
}
