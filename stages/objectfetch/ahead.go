package objectfetch

import (
	"context"
	"sync"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// maxReaders bounds the readers that are followed. A new one replaces the one
// idle for longest.
const maxReaders = 1024

// follower reads ahead for sequential readers.
type follower struct {
	*Fetcher
	clock clock.Clock

	mu      sync.Mutex // see DESIGN.md
	readers map[topic.Partition][]*reader
	count   int
	busy    int  // requests in flight
	closed  bool // nothing more is started
	runs    sync.WaitGroup
}

func newFollower(f *Fetcher, d Deps) *follower {
	return &follower{Fetcher: f, clock: d.Clock, readers: make(map[topic.Partition][]*reader)}
}

// close starts nothing more and waits for requests in flight, which the fetcher
// has cancelled.
func (a *follower) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.runs.Wait()
}

// note records a read that was served from an object or its cached blocks.
func (a *follower) note(r *flow.Read) {
	if a.cfg.AheadBytes == 0 || len(r.Buffers) == 0 {
		return
	}
	from, to := r.Offset, record.Batch(r.Buffers[len(r.Buffers)-1]).NextOffset()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	p := r.State.ID
	for _, known := range a.readers[p] {
		if known.follows(from) {
			a.release(known.moved(from, to, int64(r.Bytes), a.cfg.AheadBytes, a.clock.Now()), a.cache.Pass)
			a.fill(p, known)
			return
		}
	}
	known := newReader(from, to, int64(r.Bytes), a.cfg.AheadBytes, a.clock.Now())
	if a.meet(p, known); known.window > 0 {
		a.fill(p, known)
	}
}

// meet starts following a reader.
func (a *follower) meet(p topic.Partition, r *reader) {
	if a.count >= maxReaders {
		a.forgetOldest()
	}
	a.readers[p] = append(a.readers[p], r)
	a.count++
}

// fill plans as much for a reader as its window, the request limit and the cache
// allow.
func (a *follower) fill(p topic.Partition, r *reader) {
	for !a.closed {
		room := r.room(a.cfg.RunBytes)
		ref, ok := a.next(p, r.planned)
		if room == 0 || !ok || a.busy >= a.cfg.AheadRequests {
			return
		}
		footer, ok := a.cache.Footer(ref.ID)
		if !ok {
			a.open(p, r, ref.ID)
			return
		}
		rng, ok := footer.Range(p)
		if !ok {
			return // whoever reads there gets the error
		}
		i, ok := rng.Find(r.planned)
		if !ok || i >= len(rng.Blocks) {
			return
		}
		there := func(b object.Block) bool { return a.cache.Holds(ref.ID, b) || a.requests.carries(ref.ID, b) }
		if blocks := r.plan(ref.ID, rng.Blocks[i:], room, there); len(blocks) > 0 && !a.begin(p, r, ref.ID, blocks) {
			return
		}
	}
}

// open reads the footer of the reader's next object, then continues.
func (a *follower) open(p topic.Partition, r *reader, id meta.ObjectID) {
	if r.opening {
		return
	}
	r.opening = true
	a.busy++
	a.runs.Go(func() {
		_, err := a.footer(a.ctx, id)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.busy--
		if r.opening = false; err == nil && a.follows(p, r) {
			a.fill(p, r)
		}
	})
}

// begin fetches planned blocks; it returns false when there is no space for them.
func (a *follower) begin(p topic.Partition, r *reader, id meta.ObjectID, blocks []object.Block) bool {
	n := length(blocks)
	if !a.cache.Reserve(n) && !(a.makeRoom(r) && a.cache.Reserve(n)) {
		r.undo(id, blocks)
		r.window = max(r.window/2, min(firstWindow, a.cfg.AheadBytes))
		return false
	}
	f, own := a.requests.join(id, p, blocks, false)
	if !own || len(f.blocks) < len(blocks) { // another request was faster
		if own {
			a.requests.fail(f, errNotFetched)
		}
		a.cache.Return(n)
		r.undo(id, blocks)
		return false
	}
	a.busy++
	a.runs.Go(func() {
		ctx, cancel := context.WithTimeoutCause(a.ctx, a.cfg.RequestTimeout, errSlow)
		defer cancel()
		a.readBlocks(ctx, f)
		a.arrived(p, r, f)
	})
	return true
}

// arrived stores what was read ahead where its reader finds it, and continues.
func (a *follower) arrived(p topic.Partition, r *reader, f *request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy--
	good := f.good()
	waiting := make(map[int64]*queuedBlock, good)
	for i := range r.queue {
		if q := &r.queue[i]; q.id == f.id && q.state == requested {
			waiting[q.block.Offset] = q
		}
	}
	for i, b := range f.blocks[:good] {
		if q := waiting[b.Offset]; q != nil {
			q.state = prefetchedBlock
			a.cache.PutAhead(f.id, b, f.data[i])
			continue
		}
		a.cache.Return(b.Length) // the reader passed it in the meantime
		a.cache.PutBlock(f.id, b, f.data[i])
	}
	a.metrics.aheadBytes.Add(float64(length(f.blocks[:good])))
	if bad := f.blocks[good:]; len(bad) > 0 {
		a.cache.Return(length(bad))
		a.release(r.undo(f.id, bad), a.cache.Drop)
		r.window = 0 // the reader gets the error, or gets past it, by itself
		a.requests.finish(f)
		return
	}
	a.requests.finish(f)
	if a.follows(p, r) {
		a.fill(p, r)
	}
}

// follows reports whether r is still followed.
func (a *follower) follows(p topic.Partition, r *reader) bool {
	for _, known := range a.readers[p] {
		if known == r {
			return true
		}
	}
	return false
}

// release ends the use of blocks that were read ahead, with Pass or Drop.
func (a *follower) release(blocks []queuedBlock, how func(meta.ObjectID, object.Block)) {
	for _, q := range blocks {
		if q.state == prefetchedBlock {
			how(q.id, q.block)
		}
	}
}

// makeRoom forgets idle readers other than r, and reports whether there were any.
func (a *follower) makeRoom(r *reader) (any bool) {
	before := a.clock.Now().Add(-a.cfg.AheadIdle)
	for p, rs := range a.readers {
		for _, other := range rs {
			if other != r && len(other.queue) > 0 && other.seen.Before(before) {
				a.forget(p, other)
				any = true
			}
		}
	}
	return any
}

func (a *follower) forgetOldest() {
	var where topic.Partition
	var oldest *reader
	for p, rs := range a.readers {
		for _, r := range rs {
			if oldest == nil || r.seen.Before(oldest.seen) {
				where, oldest = p, r
			}
		}
	}
	a.forget(where, oldest)
}

// forget drops a reader and what was read ahead for it.
func (a *follower) forget(p topic.Partition, r *reader) {
	for _, q := range r.queue {
		if q.state == prefetchedBlock {
			a.metrics.aheadWasted.Add(float64(q.block.Length))
		}
	}
	a.release(r.queue, a.cache.Drop)
	r.queue = nil
	kept := make([]*reader, 0, len(a.readers[p]))
	for _, other := range a.readers[p] {
		if other != r {
			kept = append(kept, other)
		}
	}
	if a.readers[p] = kept; len(kept) == 0 {
		delete(a.readers, p)
	}
	a.count--
}
