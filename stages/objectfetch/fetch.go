package objectfetch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/sluicemq/sluice/internal/clock"
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

// Store reads objects by key.
type Store interface {
	Object(key string) object.RangeReader
	// ReadInto fills dst, one after the other, with what is from off on.
	ReadInto(ctx context.Context, key string, off int64, dst ...[]byte) error
	Size(ctx context.Context, key string) (int64, error)
}

// Deps is what a fetcher works on. All of it is required.
type Deps struct {
	Store Store
	Cache *readcache.Cache
	// Next finds the object that holds an offset of a partition, for reading
	// ahead beyond the end of one. It is called with locks held and must not block.
	Next     func(topic.Partition, int64) (meta.ObjectRef, bool)
	Clock    clock.Clock
	Registry prometheus.Registerer
}

// Fetcher reads objects through the read cache. Safe for concurrent use.
type Fetcher struct {
	cfg     Config
	store   Store
	cache   *readcache.Cache
	flights flights
	footers singleflight.Group
	ahead   *follower
	metrics metrics
}

// New returns a fetcher. Close it when nobody reads any more.
func New(cfg Config, d Deps) *Fetcher {
	f := &Fetcher{cfg: cfg, store: d.Store, cache: d.Cache, flights: flights{by: make(map[blockKey]*flight)},
		metrics: newMetrics(d.Registry)}
	f.ahead = newFollower(f, d)
	return f
}

// Close ends reading ahead.
func (f *Fetcher) Close() { f.ahead.close() }

// Served takes in a read that was served from cached blocks, so that what comes
// behind them is read ahead.
func (f *Fetcher) Served(r *flow.Read) { f.ahead.note(r) }

// Stage serves what is still cold. Any number of workers may run it.
func (f *Fetcher) Stage() pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(ctx context.Context, fetch *flow.Fetch) (*flow.Fetch, error) {
		var wg sync.WaitGroup
		places := make(chan struct{}, readsAtOnce)
		for _, r := range fetch.Reads {
			if !r.Cold() || r.Object == nil {
				continue
			}
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				if r.Err = f.serve(ctx, r); r.Err == nil {
					f.ahead.note(r)
				}
			})
		}
		wg.Wait()
		fetch.Stamp()
		return fetch, nil
	})
}

// readsAtOnce bounds the requests that one fetch of several partitions makes at
// once.
const readsAtOnce = 4

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
		if full, err := readcache.Add(r, b, flow.FromObject); full || err != nil {
			return err
		}
	}
	return nil
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
	v, err, _ := f.footers.Do(id.String(), func() (any, error) {
		key := object.Key(id)
		size, err := f.store.Size(ctx, key)
		if err != nil {
			return nil, err
		}
		f.metrics.requests.Inc()
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

// errNotFlown: a request that others wait for was not made after all.
var errNotFlown = errors.New("the request was not made")

// blocks returns the bytes of the first of neighbouring blocks, at least one: what
// is cached, else what is under way already, else what one request brings.
func (f *Fetcher) blocks(ctx context.Context, id meta.ObjectID, blocks []object.Block) ([][]byte, error) {
	for {
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
		fl, pilot := f.flights.board(id, blocks)
		if pilot {
			return f.fly(ctx, fl)
		}
		f.metrics.shared.Inc()
		select {
		case <-fl.landed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if fl.err == nil {
			return firstOf(fl.from(blocks[0]), len(blocks)), nil
		}
		if !errors.Is(fl.err, context.Canceled) && !errors.Is(fl.err, context.DeadlineExceeded) && !errors.Is(fl.err, errNotFlown) {
			return nil, fl.err
		} // whoever asked for them has left
	}
}

func firstOf(data [][]byte, n int) [][]byte { return data[:min(n, len(data))] }

// fly makes the request of fl and caches what it brings.
func (f *Fetcher) fly(ctx context.Context, fl *flight) ([][]byte, error) {
	data, err := f.request(ctx, fl)
	for i := range data {
		f.cache.PutBlock(fl.id, fl.blocks[i], data[i])
	}
	f.flights.land(fl, data, err)
	return data, err
}

// request reads the blocks of fl, each into memory of its own, so that a cached block
// does not keep its neighbours alive, and verifies them.
func (f *Fetcher) request(ctx context.Context, fl *flight) ([][]byte, error) {
	f.metrics.requests.Inc()
	f.metrics.bytes.Add(float64(length(fl.blocks)))
	out := make([][]byte, len(fl.blocks))
	for i, b := range fl.blocks {
		out[i] = uncleared(b.Length)
	}
	if err := f.store.ReadInto(ctx, object.Key(fl.id), fl.blocks[0].Offset, out...); err != nil {
		return nil, err
	}
	for i, b := range fl.blocks {
		if err := b.Verify(out[i]); err != nil {
			return nil, fmt.Errorf("object %s at %d: %w", fl.id, b.Offset, err)
		}
	}
	return out, nil
}

// InObject returns the first batch of p in the object of ref that has an offset from
// from on and whose max timestamp is at or after ms; ok is false when there is none.
func (f *Fetcher) InObject(ctx context.Context, p topic.Partition, ref meta.ObjectRef, ms, from int64) (record.Batch, bool, error) {
	rng, err := f.rangeOf(ctx, p, ref.ID)
	if err != nil {
		return nil, false, err
	}
	for i, b := range rng.Blocks {
		if b.MaxTimestamp < ms || b.End <= from {
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
			if batch.MaxTimestamp() >= ms && batch.NextOffset() > from {
				return batch, true, nil
			}
		}
	}
	return nil, false, nil
}
