package cache

import (
	"context"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// ReadStage serves reads at the tail from the cache. A read whose first batch
// is no longer cached is left to the WAL; one that is served in part stops there,
// since the reader comes again for the rest.
func ReadStage(c *Cache) pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(_ context.Context, f *flow.Fetch) (*flow.Fetch, error) {
		for _, r := range f.Reads {
			c.serve(r)
		}
		f.Stamp()
		return f, nil
	})
}

func (c *Cache) serve(r *flow.Read) {
	for _, e := range r.Tail {
		image, ok := c.Get(e.Group)
		if !ok {
			return
		}
		at := int(e.Position - e.Group)
		r.Add(image.Bytes()[at:at+int(e.Size)], flow.FromWriteCache, image.Release)
	}
}
