package objectfetch

import (
	"sync"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/topic"
)

// request is a request in flight: for adjacent blocks of an object, or for its
// footer, in which case it has no blocks. It belongs to the fetcher, not to the
// readers that wait for it: when they leave it continues, so that they find its
// result when they return.
type request struct {
	id        meta.ObjectID
	partition topic.Partition // of the blocks
	blocks    []object.Block

	ahead   bool // read ahead; the read cache keeps the result
	waiting int  // readers; guarded by requests.mu

	done   chan struct{} // closed when the fields below are set
	data   [][]byte      // of blocks; nil where errs says why
	errs   []error
	footer *object.Footer
	err    error // of the request as a whole
}

// from returns the data of block b and those after it up to the first unreadable
// one, once f is done.
func (f *request) from(b object.Block) ([][]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	for i := range f.blocks {
		if f.blocks[i].Offset != b.Offset {
			continue
		}
		if f.errs[i] != nil {
			return nil, f.errs[i]
		}
		end := i
		for end < len(f.data) && f.errs[end] == nil {
			end++
		}
		return f.data[i:end], nil
	}
	return nil, errNotFetched
}

// good returns how many leading blocks arrived intact.
func (f *request) good() int {
	if f.err != nil {
		return 0
	}
	for i, err := range f.errs {
		if err != nil {
			return i
		}
	}
	return len(f.blocks)
}

type blockKey struct {
	id meta.ObjectID
	at int64 // offset in the object; footer for the footer
}

const footer = -1

// requests are all requests in flight: no block is in two of them. Results that
// nobody waits for any more are kept for the next reader, most recent first, up
// to a limit.
type requests struct {
	mu      sync.Mutex
	by      map[blockKey]*request
	results resultCache // blocks

	footers resultCache
}

// keep keeps the result of f. REQUIRES: mu.
func (t *requests) keep(f *request) {
	if f.footer != nil {
		t.footers.put(result{key: blockKey{f.id, footer}, bytes: footerBytes, footer: f.footer})
	}
	for i, b := range f.blocks {
		if f.errs[i] == nil {
			t.results.put(result{key: blockKey{f.id, b.Offset}, bytes: b.Length, data: f.data[i]})
		}
	}
}

// join returns the request that fetches the first of blocks, if there is one.
// Otherwise it creates one for as many of them as nobody is fetching, which the
// caller must make and finish. A reader that joins must leave it again. It
// returns nil if the first block arrived in the meantime and has been kept.
func (t *requests) join(id meta.ObjectID, p topic.Partition, blocks []object.Block, wait bool) (f *request, own bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, b := range blocks {
		other := t.by[blockKey{id, b.Offset}]
		if other == nil {
			continue
		}
		if i == 0 {
			other.waiting += one(wait)
			return other, false
		}
		blocks = blocks[:i]
		break
	}
	if _, ok := t.results.by[blockKey{id, blocks[0].Offset}]; ok && wait {
		return nil, false
	}
	f = &request{id: id, partition: p, blocks: blocks, ahead: !wait, waiting: one(wait), done: make(chan struct{})}
	for _, b := range blocks {
		t.by[blockKey{id, b.Offset}] = f
	}
	return f, true
}

// joinFooter is join for the footer of an object.
func (t *requests) joinFooter(id meta.ObjectID) (f *request, own bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := blockKey{id, footer}
	if _, ok := t.footers.by[k]; ok {
		return nil, false
	}
	if f = t.by[k]; f == nil {
		f, own = &request{id: id, done: make(chan struct{})}, true
		t.by[k] = f
	}
	f.waiting++
	return f, own
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// leave ends a reader's wait for f, and reports whether f is done: then the
// reader has its result.
func (t *requests) leave(f *request) (done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.waiting--
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// carries reports whether a block is being fetched.
func (t *requests) carries(id meta.ObjectID, b object.Block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[blockKey{id, b.Offset}] != nil
}

// finish publishes the result, and keeps it if nobody waits.
func (t *requests) finish(f *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.blocks == nil {
		delete(t.by, blockKey{f.id, footer})
	}
	for _, b := range f.blocks {
		delete(t.by, blockKey{f.id, b.Offset})
	}
	if f.waiting == 0 && !f.ahead && f.err == nil {
		t.keep(f)
	}
	close(f.done)
}

// fail finishes f with an error.
func (t *requests) fail(f *request, err error) {
	f.err = err
	t.finish(f)
}

// block removes and returns a kept block.
func (t *requests) block(id meta.ObjectID, b object.Block) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x, ok := t.results.take(blockKey{id, b.Offset})
	return x.data, ok
}

// footer returns a kept footer. It stays, because the blocks it leads to may
// arrive late too.
func (t *requests) footer(id meta.ObjectID) (*object.Footer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x, ok := t.footers.look(blockKey{id, footer})
	return x.footer, ok
}
