package objectfetch

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// atMost returns the first blocks that fit into n bytes, at least one.
func atMost(blocks []object.Block, n int64) []object.Block {
	for i, b := range blocks {
		if n -= b.Length; n < 0 {
			return blocks[:max(i, 1)]
		}
	}
	return blocks
}

func length(blocks []object.Block) (n int64) {
	for _, b := range blocks {
		n += b.Length
	}
	return n
}

// firstWindow is the read-ahead window after the first sequential read. A reader
// whose first read is that large is not doing a lookup, and gets read-ahead from
// then on.
const firstWindow = 1 << 20

// newReader returns a new reader after its first read, of offsets [from, to) and that
// many bytes.
func newReader(from, to, bytes, most int64, now time.Time) *reader {
	r := &reader{from: from, to: to, planned: to, seen: now}
	if bytes >= firstWindow {
		r.window = min(bytes, most)
	}
	return r
}

// reader is a consumer of a partition, identified by its position. It is pure
// state; ahead.go owns the lock.
type reader struct {
	from, to int64 // offsets of the last read
	seen     time.Time
	window   int64 // bytes to be ahead of to; 0: not sequential yet
	// queue is what is ahead of the reader, in order, up to planned: blocks read
	// ahead for it, and blocks that were already cached or being fetched.
	queue   []queuedBlock
	planned int64
	opening bool // the footer of the next object is being read
}

// queuedBlock is one block ahead of a reader.
type queuedBlock struct {
	id    meta.ObjectID
	block object.Block
	state blockState
}

type blockState uint8

const (
	shared          blockState = iota // cached, or fetched for another
	requested                         // being read ahead for this reader
	prefetchedBlock                   // read ahead for this reader
)

// follows reports whether a read from offset continues r: it starts within the
// last read, or right after it.
func (r *reader) follows(offset int64) bool { return r.from < offset && offset <= r.to }

// moved records a sequential read of offsets [from, to) and that many bytes, and
// returns the blocks that the reader has passed. If part of the read is trimmed
// from the response, the next read starts there and finds it in the cache like
// any other.
func (r *reader) moved(from, to, bytes, most int64, now time.Time) (passed []queuedBlock) {
	r.from, r.to, r.seen = from, to, now
	r.window = min(max(2*r.window, bytes, firstWindow), most)
	r.planned = max(r.planned, to)
	n := 0
	for n < len(r.queue) && r.queue[n].block.End <= to {
		n++
	}
	passed, r.queue = r.queue[:n:n], r.queue[n:]
	return passed
}

// room returns how many bytes to plan now: none while more than half of the
// window is ahead of the reader, or while a whole request would not fit, so that
// requests stay large.
func (r *reader) room(runBytes int64) int64 {
	left := r.window
	for _, a := range r.queue {
		left -= a.block.Length
	}
	if left < min(runBytes, (r.window+1)/2) {
		return 0
	}
	return min(left, runBytes)
}

// plan adds the next blocks to the queue and returns those to fetch, at most one
// request: leading blocks that are already there are skipped.
func (r *reader) plan(id meta.ObjectID, blocks []object.Block, room int64, there func(object.Block) bool) []object.Block {
	blocks = atMost(blocks, room)
	skip := 0
	for skip < len(blocks) && there(blocks[skip]) {
		skip++
	}
	end := skip
	for end < len(blocks) && !there(blocks[end]) {
		end++
	}
	for i, b := range blocks[:end] {
		state := shared
		if i >= skip {
			state = requested
		}
		r.queue = append(r.queue, queuedBlock{id, b, state})
		r.planned = b.End
	}
	return blocks[skip:end]
}

// undo reverts the plan for blocks, which were not fetched, and for everything
// after them, which it returns.
func (r *reader) undo(id meta.ObjectID, blocks []object.Block) (rest []queuedBlock) {
	for i, a := range r.queue {
		if a.id == id && a.block.Offset == blocks[0].Offset {
			r.planned = a.block.Base
			r.queue, rest = r.queue[:i:i], r.queue[i:]
			return rest
		}
	}
	return nil
}
