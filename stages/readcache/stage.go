package readcache

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// Stage serves reads of objects whose blocks are cached. served, if not nil, is
// called for each; read-ahead uses it. Any number of workers may run the stage.
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
		var full bool
		if full, r.Err = Add(r, b, flow.FromReadCache); full || r.Err != nil {
			return
		}
	}
}

// Add appends to r the batches of a block from r.Offset on, up to r.MaxBytes but
// at least one. full means that a batch was left out: nothing after it may be
// added, however small, or the reader would miss it.
func Add(r *flow.Read, block []byte, src flow.Source) (full bool, err error) {
	for len(block) > 0 {
		b, rest, err := record.Next(block)
		if err != nil {
			return false, fmt.Errorf("%s offset %d: %w", r.State.ID, r.Offset, err)
		}
		block = rest
		if b.NextOffset() <= r.Offset {
			continue
		}
		if r.Bytes > 0 && r.Bytes+len(b) > r.MaxBytes {
			return true, nil
		}
		r.Add(b, src, nil)
	}
	return false, nil
}
