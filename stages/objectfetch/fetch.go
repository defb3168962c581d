package objectfetch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/readcache"
)

// ErrRange: an object lacks a partition that the metadata says it holds.
var ErrRange = fault.Lost(kerr.KafkaStorageError, "object lacks the partition")

// Store reads objects by key.
type Store interface {
	Object(key string) object.RangeReader
	// ReadInto fills the slices of dst, one after the other, with the bytes from off
	// on.
	ReadInto(ctx context.Context, key string, off int64, dst ...[]byte) error
	Size(ctx context.Context, key string) (int64, error)
}

// Tracker is told what is unreadable, and what is readable again.
type Tracker interface {
	Known(unreadable.Place) error
	Failed(p unreadable.Place, why unreadable.Reason, err error) error
	Read(unreadable.Place)
}

// Deps is what a Fetcher needs from outside. All of it is required.
type Deps struct {
	Store   Store
	Cache   *readcache.Cache
	Tracker Tracker
	// Next finds the object that holds an offset of a partition. It is called with
	// locks held and must not block.
	Next func(topic.Partition, int64) (meta.ObjectRef, bool)
	// Named reports whether the metadata still refers to a place.
	Named func(unreadable.Place) bool
	// Gone returns why no object holds the offset.
	Gone     func(*flow.Read) error
	Clock    clock.Clock
	Registry prometheus.Registerer
}

// Fetcher reads objects through the read cache. Safe for concurrent use.
type Fetcher struct {
	cfg      Config
	store    Store
	cache    *readcache.Cache
	tracker  Tracker
	next     func(topic.Partition, int64) (meta.ObjectRef, bool)
	named    func(unreadable.Place) bool
	gone     func(*flow.Read) error
	requests requests
	memory   *pipeline.Budget // for data of requests that readers wait for
	follower *follower
	metrics  metrics

	ctx    context.Context // of all requests
	stop   context.CancelFunc
	mu     sync.Mutex // see DESIGN.md
	closed bool
	runs   sync.WaitGroup
}

// New returns a fetcher. Close it when nobody reads any more.
func New(cfg Config, d Deps) *Fetcher {
	f := &Fetcher{cfg: cfg, store: d.Store, cache: d.Cache, tracker: d.Tracker, next: d.Next, named: d.Named, gone: d.Gone,
		memory: pipeline.NewBudget(cfg.RequestBytes - cfg.RequestBytes/4)}
	f.requests = requests{by: make(map[blockKey]*request), results: resultCache{limit: cfg.RequestBytes / 16 * 3}, footers: resultCache{limit: cfg.RequestBytes / 16}}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.metrics = newMetrics(d.Registry)
	f.follower = newFollower(f, d)
	return f
}

// Stop cancels all requests; their waiters get context.Canceled. Cached blocks
// are still served.
func (f *Fetcher) Stop() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
}

// Close is Stop, but also waits for the requests.
func (f *Fetcher) Close() {
	f.Stop()
	f.follower.close()
	f.runs.Wait()
}

// Served records a read that was served from cached blocks, so that what follows
// is read ahead.
func (f *Fetcher) Served(r *flow.Read) { f.follower.note(r) }

// find reads from the object that holds r's offset, even if that object is
// replaced meanwhile by compaction or retention. It does not modify r.
func (f *Fetcher) find(ctx context.Context, r *flow.Read) ([][]byte, error) {
	ref := *r.Object
	for range maxMoves {
		blocks, err := f.read(ctx, r, ref)
		if !errors.Is(err, errMoved) {
			return blocks, err
		}
		var ok bool
		if ref, ok = f.next(r.State.ID, r.Offset); !ok {
			return nil, f.gone(r)
		}
	}
	return nil, errMoved
}

// maxMoves is how often one read follows records from object to object.
const maxMoves = 5

// read returns the blocks at r's offset in the object of ref, at least one.
func (f *Fetcher) read(ctx context.Context, r *flow.Read, ref meta.ObjectRef) ([][]byte, error) {
	rng, err := f.rangeOf(ctx, r.State.ID, ref)
	if err != nil {
		return nil, err
	}
	i, ok := rng.Find(r.Offset)
	if !ok {
		return nil, f.lacks(ctx, r.State.ID, ref, fmt.Errorf("%w: %s offset %d in object %s", ErrRange, r.State.ID, r.Offset, ref.ID))
	}
	return f.blocks(ctx, r.State.ID, ref.ID, atMost(rng.Blocks[i:], min(f.cfg.RunBytes, int64(r.MaxBytes))))
}

func (f *Fetcher) rangeOf(ctx context.Context, p topic.Partition, ref meta.ObjectRef) (*object.Range, error) {
	footer, err := f.footer(ctx, ref.ID)
	if err != nil {
		return nil, err
	}
	rng, ok := footer.Range(p)
	if !ok {
		return nil, f.lacks(ctx, p, ref, fmt.Errorf("%w: %s in object %s", ErrRange, p, ref.ID))
	}
	return rng, nil
}

// lacks reports that an object does not have what the metadata says.
func (f *Fetcher) lacks(ctx context.Context, p topic.Partition, ref meta.ObjectRef, err error) error {
	return f.failed(ctx, unreadable.Place{Object: ref.ID, Partition: p, Base: ref.Base, End: ref.End}, err)
}

func (f *Fetcher) footer(ctx context.Context, id meta.ObjectID) (*object.Footer, error) {
	for {
		if footer, ok := f.cache.Footer(id); ok {
			return footer, nil
		}
		if footer, ok := f.requests.footer(id); ok {
			return footer, nil
		}
		if err := f.tracker.Known(unreadable.Place{Object: id}); err != nil {
			return nil, err
		}
		req, own := f.requests.joinFooter(id)
		if req == nil {
			continue
		}
		if own {
			f.launch(req, f.fetchFooter)
		}
		if err := f.await(ctx, req, own); err != nil {
			return nil, err
		}
		if !errors.Is(req.err, errNotFetched) {
			return req.footer, req.err
		}
	}
}

// await waits until req is done or ctx ends.
func (f *Fetcher) await(ctx context.Context, req *request, own bool) error {
	if !own {
		f.metrics.shared.Inc()
	}
	select {
	case <-req.done:
		f.requests.leave(req)
		return nil
	case <-ctx.Done():
	case <-f.ctx.Done(): // the request may ignore it
	}
	if f.requests.leave(req) {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return context.Canceled
}

// blocks returns the bytes of the first of adjacent blocks of a partition, at
// least one: from the cache, else from a request in flight, else from a new
// request.
func (f *Fetcher) blocks(ctx context.Context, p topic.Partition, id meta.ObjectID, blocks []object.Block) ([][]byte, error) {
	for {
		var out [][]byte
		for _, b := range blocks {
			data, ok := f.cache.Block(id, b)
			if !ok {
				data, ok = f.requests.block(id, b)
			}
			if !ok {
				break
			}
			out = append(out, data)
		}
		if len(out) > 0 { // the reader will fetch what follows
			return out, nil
		}
		if err := f.known(id, p, blocks[0]); err != nil {
			return nil, err
		}
		req, own := f.requests.join(id, p, blocks, true)
		if req == nil {
			continue
		}
		if own {
			f.launch(req, f.fetchBlocks)
		}
		if err := f.await(ctx, req, own); err != nil {
			return nil, err
		}
		data, err := req.from(blocks[0])
		if !errors.Is(err, errNotFetched) {
			return data[:min(len(data), len(blocks))], err
		}
	}
}

// InObject returns the first batch of p in the object of ref with an offset at or
// after from and a max timestamp at or after ms; ok is false when there is none.
func (f *Fetcher) InObject(ctx context.Context, p topic.Partition, ref meta.ObjectRef, ms, from int64) (record.Batch, bool, error) {
	rng, err := f.rangeOf(ctx, p, ref)
	if err != nil {
		return nil, false, err
	}
	for i, b := range rng.Blocks {
		if b.MaxTimestamp < ms || b.End <= from {
			continue
		}
		data, err := f.blocks(ctx, p, ref.ID, rng.Blocks[i:i+1])
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
