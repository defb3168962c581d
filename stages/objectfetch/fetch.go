package objectfetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/readcache"
)

// ErrRange: an object does not hold the partition that the metadata says it holds.
var ErrRange = errors.New("object lacks the partition")

// Config has the limits of the stage.
type Config struct {
	// RunBytes is the most that one range request asks for. Larger runs read
	// history faster and take more memory a reader.
	RunBytes int64
}

// DefaultConfig returns 4 MiB.
func DefaultConfig() Config { return Config{RunBytes: 4 << 20} }

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	if c.RunBytes < 64<<10 {
		return fmt.Errorf("objectfetch: run of %d bytes is below 64 KiB", c.RunBytes)
	}
	return nil
}

// Store opens objects by key.
type Store interface {
	Object(key string) object.RangeReader
	Size(ctx context.Context, key string) (int64, error)
}

// Fetcher reads objects through the read cache. Safe for concurrent use.
type Fetcher struct {
	cfg    Config
	store  Store
	cache  *readcache.Cache
	flight singleflight.Group

	requests, bytes prometheus.Counter
}

// New returns a fetcher.
func New(cfg Config, s Store, c *readcache.Cache, reg prometheus.Registerer) *Fetcher {
	f := &Fetcher{cfg: cfg, store: s, cache: c,
		requests: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_object_requests_total",
			Help: "Range requests to the object store."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_object_read_bytes_total",
			Help: "Bytes of blocks read from the object store."})}
	reg.MustRegister(f.requests, f.bytes)
	return f
}

// Stage serves what is still cold. Any number of workers may run it.
func (f *Fetcher) Stage() pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(ctx context.Context, fetch *flow.Fetch) (*flow.Fetch, error) {
		for _, r := range fetch.Reads {
			if r.Cold() && r.Object != nil {
				r.Err = f.serve(ctx, r)
			}
		}
		return fetch, nil
	})
}

func (f *Fetcher) serve(ctx context.Context, r *flow.Read) error {
	rng, err := f.rangeOf(ctx, r.State.ID, r.Object.ID)
	if err != nil {
		return err
	}
	i, ok := rng.Find(r.Offset)
	if !ok {
		return fmt.Errorf("%w: %s offset %d in object %s", ErrRange, r.State.ID, r.Offset, r.Object.ID)
	}
	blocks, err := f.blocks(ctx, r.Object.ID, run(rng.Blocks[i:], min(f.cfg.RunBytes, int64(r.MaxBytes))))
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if r.Bytes > 0 && r.Bytes >= r.MaxBytes {
			break
		}
		if err := readcache.Add(r, b, flow.FromObject); err != nil {
			return err
		}
	}
	return nil
}

// run returns the first blocks that are at most n bytes together, at least one.
func run(blocks []object.Block, n int64) []object.Block {
	for i, b := range blocks {
		if n -= b.Length; n < 0 {
			return blocks[:max(i, 1)]
		}
	}
	return blocks
}

func (f *Fetcher) rangeOf(ctx context.Context, p topic.Partition, id meta.ObjectID) (*object.Range, error) {
	footer, err := f.footer(ctx, id)
	if err != nil {
		return nil, err
	}
	rng, ok := footer.Range(p)
	if !ok {
		return nil, fmt.Errorf("%w: %s in object %s", ErrRange, p, id)
	}
	return rng, nil
}

func (f *Fetcher) footer(ctx context.Context, id meta.ObjectID) (*object.Footer, error) {
	if footer, ok := f.cache.Footer(id); ok {
		return footer, nil
	}
	v, err, _ := f.flight.Do("footer "+id.String(), func() (any, error) {
		key := object.Key(id)
		size, err := f.store.Size(ctx, key)
		if err != nil {
			return nil, err
		}
		f.requests.Inc()
		footer, err := object.ReadFooter(ctx, f.store.Object(key), size)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", id, err)
		}
		f.cache.PutFooter(footer)
		return footer, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*object.Footer), nil
}

// blocks returns the bytes of neighbouring blocks, from the cache as far as it
// has them from the first on, the rest in one request.
func (f *Fetcher) blocks(ctx context.Context, id meta.ObjectID, blocks []object.Block) ([][]byte, error) {
	var out [][]byte
	for _, b := range blocks {
		data, ok := f.cache.Block(id, b)
		if !ok {
			break
		}
		out = append(out, data)
	}
	if len(out) > 0 { // the reader comes again for what follows
		return out, nil
	}
	flight := fmt.Sprintf("%s %d+%d", id, blocks[0].Offset, len(blocks))
	v, err, _ := f.flight.Do(flight, func() (any, error) { return f.request(ctx, id, blocks) })
	if err != nil {
		return nil, err
	}
	return v.([][]byte), nil
}

func (f *Fetcher) request(ctx context.Context, id meta.ObjectID, blocks []object.Block) ([][]byte, error) {
	first, last := blocks[0], blocks[len(blocks)-1]
	n := last.Offset + last.Length - first.Offset
	f.requests.Inc()
	f.bytes.Add(float64(n))
	data, err := f.store.Object(object.Key(id)).ReadRange(ctx, first.Offset, n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(blocks))
	for i, b := range blocks {
		at := b.Offset - first.Offset
		// A copy, so that one cached block does not keep its neighbours alive.
		out[i] = append(make([]byte, 0, b.Length), data[at:at+b.Length]...)
		if err := b.Verify(out[i]); err != nil {
			return nil, fmt.Errorf("object %s at %d: %w", id, b.Offset, err)
		}
		f.cache.PutBlock(id, b, out[i])
	}
	return out, nil
}

// InObject returns the first batch of p in the object of ref whose max
// timestamp is at or after ms; ok is false when there is none.
func (f *Fetcher) InObject(ctx context.Context, p topic.Partition, ref meta.ObjectRef, ms int64) (record.Batch, bool, error) {
	rng, err := f.rangeOf(ctx, p, ref.ID)
	if err != nil {
		return nil, false, err
	}
	for i, b := range rng.Blocks {
		if b.MaxTimestamp < ms {
			continue
		}
		data, err := f.blocks(ctx, ref.ID, rng.Blocks[i:i+1])
		if err != nil {
			return nil, false, err
		}
		for rest := data[0]; len(rest) > 0; {
			var batch record.Batch
			if batch, rest, err = record.Next(rest); err != nil {
				return nil, false, err
			}
			if batch.MaxTimestamp() >= ms {
				return batch, true, nil
			}
		}
	}
	return nil, false, nil
}
