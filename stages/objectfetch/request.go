package objectfetch

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
)

var (
	// errNotFetched: a request that others wait for was not made after all.
	errNotFetched = errors.New("the request was not made")
	// errMoved: the object was replaced or trimmed meanwhile; the records are
	// elsewhere, or no longer readable.
	errMoved = errors.New("the records are no longer in this object")
	// errSlow: the store took longer than RequestTimeout.
	errSlow = errors.New("the object store took too long")
)

// launch makes a request that readers wait for, in the background, once there is
// memory for its result.
func (f *Fetcher) launch(req *request, do func(context.Context, *request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		f.requests.fail(req, context.Canceled)
		return
	}
	f.runs.Go(func() {
		ctx, cancel := context.WithTimeoutCause(f.ctx, f.cfg.RequestTimeout, errSlow)
		defer cancel()
		n := min(req.bytes(), f.memory.Capacity())
		if err := f.memory.Acquire(ctx, n); err != nil {
			f.requests.fail(req, f.waited(context.Cause(ctx)))
			return
		}
		defer f.memory.Release(n)
		do(ctx, req)
	})
}

// bytes is the memory that a request takes.
func (f *request) bytes() int64 {
	if f.blocks == nil {
		return footerBytes
	}
	return length(f.blocks)
}

// fetchBlocks makes a request for blocks and caches its result.
func (f *Fetcher) fetchBlocks(ctx context.Context, req *request) {
	f.readBlocks(ctx, req)
	for i := range req.blocks {
		if req.err == nil && req.errs[i] == nil {
			f.cache.PutBlock(req.id, req.blocks[i], req.data[i])
		}
	}
	f.requests.finish(req)
}

// readBlocks reads the blocks of req, each into its own memory, so that a cached
// block does not keep its neighbours alive, and verifies them. A damaged block
// does not affect the others.
func (f *Fetcher) readBlocks(ctx context.Context, req *request) {
	f.metrics.requests.Inc()
	f.metrics.bytes.Add(float64(length(req.blocks)))
	out := make([][]byte, len(req.blocks))
	for i, b := range req.blocks {
		out[i] = uncleared(b.Length)
	}
	if err := f.store.ReadInto(ctx, object.Key(req.id), req.blocks[0].Offset, out...); err != nil {
		place := placeOf(req.id, req.partition, req.blocks[0])
		if reason(err) == unreadable.Missing {
			place = unreadable.Place{Object: req.id}
		}
		req.err = f.failed(ctx, place, err)
		return
	}
	f.tracker.Read(unreadable.Place{Object: req.id})
	req.data, req.errs = out, make([]error, len(req.blocks))
	for i, b := range req.blocks {
		place := placeOf(req.id, req.partition, b)
		if err := b.Verify(out[i]); err != nil {
			req.data[i], req.errs[i] = nil, f.failed(ctx, place, fmt.Errorf("object %s at %d: %w", req.id, b.Offset, err))
			continue
		}
		f.tracker.Read(place)
	}
}

func placeOf(id meta.ObjectID, p topic.Partition, b object.Block) unreadable.Place {
	return unreadable.Place{Object: id, Partition: p, Base: b.Base, End: b.End}
}

// known returns the error of a block or its object if it failed recently.
func (f *Fetcher) known(id meta.ObjectID, p topic.Partition, b object.Block) error {
	if err := f.tracker.Known(unreadable.Place{Object: id}); err != nil {
		return err
	}
	return f.tracker.Known(placeOf(id, p, b))
}

// waited is the error of a request that was not made because earlier ones held
// the memory for too long, or because the broker is stopping.
func (f *Fetcher) waited(cause error) error {
	if f.ctx.Err() != nil {
		return context.Canceled
	}
	return fmt.Errorf("%w: earlier requests did not finish: %w", objectstore.ErrUnavailable, cause)
}

// fetchFooter reads the footer of an object and caches it.
func (f *Fetcher) fetchFooter(ctx context.Context, req *request) {
	place := unreadable.Place{Object: req.id}
	got, err := f.readFooter(ctx, req.id)
	if err != nil {
		f.requests.fail(req, f.failed(ctx, place, err))
		return
	}
	f.tracker.Read(place)
	f.cache.PutFooter(got)
	req.footer = got
	f.requests.finish(req)
}

func (f *Fetcher) readFooter(ctx context.Context, id meta.ObjectID) (*object.Footer, error) {
	key := object.Key(id)
	size, err := f.store.Size(ctx, key)
	if err != nil {
		return nil, err
	}
	f.metrics.requests.Inc()
	got, err := object.ReadFooter(ctx, f.store.Object(key), size)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", id, err)
	}
	if got.ID != id {
		return nil, fmt.Errorf("%w: the key of object %s holds object %s", object.ErrCorrupt, id, got.ID)
	}
	return got, nil
}

// failed returns why a place could not be read. Its records may be elsewhere by
// now, which is normal; otherwise it is reported.
func (f *Fetcher) failed(ctx context.Context, p unreadable.Place, err error) error {
	switch {
	case f.ctx.Err() != nil:
		return context.Canceled // the broker is stopping
	case !f.named(p):
		return fmt.Errorf("%w: %w", errMoved, err)
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w: %w", objectstore.ErrUnavailable, context.Cause(ctx), err)
	}
	return f.tracker.Failed(p, reason(err), err)
}

func reason(err error) unreadable.Reason {
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		return unreadable.Missing
	case fault.ClassOf(err) == fault.ClassLost, errors.Is(err, syscall.EIO):
		return unreadable.Damaged
	case errors.Is(err, objectstore.ErrRefused):
		return unreadable.Denied
	}
	return unreadable.Unavailable
}
