package objectfetch

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// run returns the first blocks that are at most n bytes together, at least one.
func run(blocks []object.Block, n int64) []object.Block {
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

// firstWindow is how far is read ahead for a reader that was in order once. One that
// takes as much at its first read does not look something up, and is read ahead for
// from then on.
const firstWindow = 1 << 20

// met returns a reader seen for the first time, with a read of offsets [from, to)
// that took so many bytes.
func met(from, to, bytes, most int64, now time.Time) *reader {
	r := &reader{from: from, to: to, planned: to, seen: now}
	if bytes >= firstWindow {
		r.window = min(bytes, most)
	}
	return r
}

// reader is somebody who reads a partition, known by where it is. It is pure
// state; ahead.go owns the lock.
type reader struct {
	from, to int64 // offsets of the last read
	seen     time.Time
	window   int64 // bytes to be ahead of to; 0: read in order not seen yet
	// queue is what the reader has before it, in order, up to planned: blocks read
	// ahead for it, and blocks that were there or under way already.
	queue   []ahead
	planned int64
	opening bool // the footer of the next object is being read
}

// ahead is one block before a reader.
type ahead struct {
	id    meta.ObjectID
	block object.Block
	state blockState
}

type blockState uint8

const (
	theirs          blockState = iota // cached or fetched for another
	requested                         // being read ahead for this reader
	prefetchedBlock                   // read ahead for this reader
)

// follows says whether a read from offset goes on with what r reads: it begins
// in what the last read gave, or right behind.
func (r *reader) follows(offset int64) bool { return r.from < offset && offset <= r.to }

// moved takes in a read of offsets [from, to) that goes on in order and took so many
// bytes, and returns what the reader has passed. If some of that is cut off the answer, the next read
// begins there, and finds it in the cache like anybody else.
func (r *reader) moved(from, to, bytes, most int64, now time.Time) (passed []ahead) {
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

// room returns how many bytes should be planned now: none while more than half of
// the window is before the reader, or while a whole run would not fit, so that
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

// plan takes the next blocks into the queue and returns those to fetch, which is
// at most one run: leading blocks that are there already are skipped.
func (r *reader) plan(id meta.ObjectID, blocks []object.Block, room int64, there func(object.Block) bool) []object.Block {
	blocks = run(blocks, room)
	skip := 0
	for skip < len(blocks) && there(blocks[skip]) {
		skip++
	}
	end := skip
	for end < len(blocks) && !there(blocks[end]) {
		end++
	}
	for i, b := range blocks[:end] {
		state := theirs
		if i >= skip {
			state = requested
		}
		r.queue = append(r.queue, ahead{id, b, state})
		r.planned = b.End
	}
	return blocks[skip:end]
}

// undo takes back the plan of blocks, which were not fetched, and of what is
// behind them, which it returns.
func (r *reader) undo(id meta.ObjectID, blocks []object.Block) (rest []ahead) {
	for i, a := range r.queue {
		if a.id == id && a.block.Offset == blocks[0].Offset {
			r.planned = a.block.Base
			r.queue, rest = r.queue[:i:i], r.queue[i:]
			return rest
		}
	}
	return nil
}
