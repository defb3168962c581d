package readcache

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// Stage serves reads of objects whose blocks are cached. served, if not nil,
// learns of each (reading ahead goes by it). Any number of workers may run it.
func Stage(c *Cache, served func(*flow.Read)) pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(_ context.Context, f *flow.Fetch) (*flow.Fetch, error) {
		for _, r := range f.Reads {
			if !r.Cold() || r.Object == nil {
				continue
			}
			if c.serve(r); r.Bytes > 0 && served != nil {
				served(r)
			}
		}
		f.Stamp()
		return f, nil
	})
}

func (c *Cache) serve(r *flow.Read) {
	f, ok := c.Footer(r.Object.ID)
	if !ok {
		return
	}
	rng, ok := f.Range(r.State.ID)
	if !ok {
		return
	}
	i, ok := rng.Find(r.Offset)
	for ; ok && i < len(rng.Blocks) && r.Bytes < r.MaxBytes; i++ {
		b, hit := c.Block(f.ID, rng.Blocks[i])
		if !hit {
			return
		}
		if r.Err = Add(r, b, flow.FromReadCache); r.Err != nil {
			return
		}
	}
}

// Add appends to r the batches of a block from r.Offset on, up to r.MaxBytes but
// at least one.
func Add(r *flow.Read, block []byte, src flow.Source) error {
	for len(block) > 0 {
		b, rest, err := record.Next(block)
		if err != nil {
			return fmt.Errorf("%s offset %d: %w", r.State.ID, r.Offset, err)
		}
		block = rest
		if b.NextOffset() <= r.Offset {
			continue
		}
		if r.Bytes > 0 && r.Bytes+len(b) > r.MaxBytes {
			return nil
		}
		r.Add(b, src, nil)
	}
	return nil
}
