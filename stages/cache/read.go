package cache

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// ReadStage serves reads at the tail from the cache. A read whose first batch is
// no longer cached is left to the WAL; one that is served in part stops there,
// since the reader will fetch the rest.
//
// Reads refer to whole images until they are released, though they may want only
// small batches. At most held bytes of images are referenced that way; beyond it
// batches are copied. Otherwise slow readers would hold the memory for images
// that the WAL waits for.
func ReadStage(c *Cache, held int64) pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	s := &reads{cache: c, limit: held}
	return pipeline.Each(func(_ context.Context, f *flow.Fetch) (*flow.Fetch, error) {
		for _, r := range f.Reads {
			s.serve(r)
		}
		f.Stamp()
		return f, nil
	})
}

type reads struct {
	cache *Cache
	limit int64
	held  atomic.Int64 // bytes of images referenced by reads, counted once per read
}

func (s *reads) serve(r *flow.Read) {
	for tail := r.Tail; len(tail) > 0; {
		group := tail[0].Group
		image, ok := s.cache.Get(group)
		if !ok {
			return
		}
		n := 1 // entries in that image
		for n < len(tail) && tail[n].Group == group {
			n++
		}
		if !s.add(r, image, tail[:n]) {
			return
		}
		s.cache.hits.Add(float64(n - 1)) // Get has counted one
		tail = tail[n:]
	}
}

// add adds adjacent batches of one image, whose reference it takes over, and
// reports whether r wants more than they hold.
func (s *reads) add(r *flow.Read, image *blockfs.Buffer, entries []partition.Entry) (more bool) {
	size := int64(cap(image.Bytes()))
	release := func() {
		image.Release()
		s.held.Add(-size)
	}
	whole := s.held.Add(size) <= s.limit
	if whole {
		r.Hold(release)
	} else {
		defer release()
	}
	for _, e := range entries {
		at := int(e.Position - e.Group)
		b, more := r.Clip(e, image.Bytes()[at:at+int(e.Size)])
		if !whole {
			b = slices.Clone(b)
		}
		if len(b) > 0 {
			r.Add(b, flow.FromWriteCache, nil)
		}
		if !more {
			return false
		}
	}
	return true
}
