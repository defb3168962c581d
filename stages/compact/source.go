package compact

import (
	"context"
	"fmt"
	"iter"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// batches yields the batches of a partition in an object, in offset order, from
// the block that holds offset from. Each is valid until the next. An error is
// yielded once, as the last pair. Reads bypass the read cache, which belongs to
// consumers.
func (c *Compactor) batches(ctx context.Context, p topic.Partition, ref meta.ObjectRef, from int64) iter.Seq2[record.Batch, error] {
	return func(yield func(record.Batch, error) bool) {
		if err := c.eachBatch(ctx, p, ref, from, func(b record.Batch) bool { return yield(b, nil) }); err != nil {
			yield(nil, fmt.Errorf("object %s: %w", ref.ID, err))
		}
	}
}

func (c *Compactor) eachBatch(ctx context.Context, p topic.Partition, ref meta.ObjectRef, from int64, yield func(record.Batch) bool) error {
	key := object.Key(ref.ID)
	size, err := c.Store.Size(ctx, key)
	if err != nil {
		return err
	}
	src := c.Store.Object(key)
	footer, err := object.ReadFooter(ctx, src, size)
	if err != nil {
		return err
	}
	rng, ok := footer.Range(p)
	if !ok || rng.Base < ref.Base || rng.End != ref.End {
		return fmt.Errorf("%w: its index lacks %s up to offset %d", object.ErrCorrupt, p, ref.End)
	}
	at, _ := rng.Find(from)
	for blocks := rng.Blocks[at:]; len(blocks) > 0; {
		n := runOf(blocks, c.runBytes())
		data, err := c.read(ctx, src, blocks[:n])
		if err != nil {
			return err
		}
		for blocks = blocks[n:]; len(data) > 0; {
			var b record.Batch
			if b, data, err = record.Next(data); err != nil {
				return err
			}
			if !yield(b) {
				return nil
			}
		}
	}
	return nil
}

// runOf returns how many of the first blocks fit into n bytes, at least 1.
func runOf(blocks []object.Block, n int64) int {
	for i, b := range blocks {
		if n -= b.Length; n < 0 {
			return max(i, 1)
		}
	}
	return len(blocks)
}

// read reads adjacent blocks in one request.
func (c *Compactor) read(ctx context.Context, src object.RangeReader, blocks []object.Block) ([]byte, error) {
	first, last := blocks[0], blocks[len(blocks)-1]
	n := last.Offset + last.Length - first.Offset
	if err := c.throttle.take(ctx, n); err != nil {
		return nil, err
	}
	data, err := src.ReadRange(ctx, first.Offset, n)
	if err != nil {
		return nil, err
	}
	for _, b := range blocks {
		if err := b.Verify(data[b.Offset-first.Offset:][:b.Length]); err != nil {
			return nil, err
		}
	}
	c.metrics.read.Add(float64(n))
	return data, nil
}
