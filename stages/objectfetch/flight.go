package objectfetch

import (
	"sync"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// flight is one request under way, of blocks next to each other in an object.
type flight struct {
	id     meta.ObjectID
	blocks []object.Block

	landed chan struct{} // closed when the fields below are set
	data   [][]byte
	err    error
}

// from returns what came of block b and of those behind it, when f has landed.
func (f *flight) from(b object.Block) [][]byte {
	for i := range f.blocks {
		if f.blocks[i].Offset == b.Offset {
			return f.data[i:]
		}
	}
	return nil
}

type blockKey struct {
	id meta.ObjectID
	at int64 // in the object
}

// flights are all requests for blocks under way: no block is in two of them.
type flights struct {
	mu sync.Mutex
	by map[blockKey]*flight
}

// board returns the flight that fetches the first of blocks, if there is one.
// Else it makes one for as many of them as nobody fetches, which the caller must
// fly and land.
func (t *flights) board(id meta.ObjectID, blocks []object.Block) (f *flight, pilot bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, b := range blocks {
		other := t.by[blockKey{id, b.Offset}]
		if other == nil {
			continue
		}
		if i == 0 {
			return other, false
		}
		blocks = blocks[:i]
		break
	}
	f = &flight{id: id, blocks: blocks, landed: make(chan struct{})}
	for _, b := range blocks {
		t.by[blockKey{id, b.Offset}] = f
	}
	return f, true
}

// carries says whether a block is under way.
func (t *flights) carries(id meta.ObjectID, b object.Block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[blockKey{id, b.Offset}] != nil
}

// land hands out what came.
func (t *flights) land(f *flight, data [][]byte, err error) {
	t.mu.Lock()
	for _, b := range f.blocks {
		delete(t.by, blockKey{f.id, b.Offset})
	}
	t.mu.Unlock()
	f.data, f.err = data, err
	close(f.landed)
}
