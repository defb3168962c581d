package partition

import (
	"math"
	"sort"
	"unsafe"
)

// block holds up to blockRuns runs of one epoch that follow each other. A run is 24
// bytes: its place and time are counted from those of the block. Where that does not
// fit, a new block begins.
type block struct {
	base         int64
	position     Position // of the first run
	timestamp    int64    // of the first run
	epoch        int32
	bytes        int64 // over all runs
	maxTimestamp int64 // over all runs
	runs         []run
}

type run struct {
	end       uint32 // offset after its last, from the block's base on
	position  uint32 // from the block's on
	group     uint32 // bytes from its group's start
	size      uint32
	batches   uint32
	timestamp int32 // max, from the block's on
}

const (
	blockRuns = 32
	firstRuns = 4 // room in a new block, which grows by doubling

	runMemory   = int64(unsafe.Sizeof(run{}))
	blockMemory = int64(unsafe.Sizeof(block{}) + 2*unsafe.Sizeof((*block)(nil)))

	// AppendMemory is the most that one Append to a Tail takes: a block grows.
	AppendMemory = blockRuns / 2 * runMemory
)

// newBlock returns a block that begins with e.
func newBlock(e Entry) *block {
	b := &block{base: e.Base, position: e.Position, timestamp: e.MaxTimestamp, epoch: e.Epoch, maxTimestamp: e.MaxTimestamp,
		runs: make([]run, 0, firstRuns)}
	b.push(e)
	return b
}

// add adds e as a run of its own, which follows the last. It returns false where e
// needs a new block.
func (b *block) add(e Entry) bool {
	if len(b.runs) == blockRuns || e.Epoch != b.epoch || !b.reaches(e) || e.Position < b.position ||
		e.Position-b.position > math.MaxUint32 {
		return false
	}
	if len(b.runs) == cap(b.runs) {
		b.runs = append(make([]run, 0, 2*cap(b.runs)), b.runs...)
	}
	b.push(e)
	return true
}

func (b *block) push(e Entry) {
	b.runs = append(b.runs, run{end: uint32(e.End() - b.base), position: uint32(e.Position - b.position),
		group: uint32(e.Position - e.Group), size: uint32(e.Size), batches: uint32(max(e.Batches, 1)),
		timestamp: int32(e.MaxTimestamp - b.timestamp)})
	b.note(e)
}

// extend adds e, which follows the last run in offsets, to that run, if it does so in
// bytes too and the run may grow.
func (b *block) extend(e Entry) bool {
	last := b.entry(len(b.runs) - 1)
	if e.Group != last.Group || e.Position != last.Position+Position(last.Size) || e.Epoch != last.Epoch ||
		int64(last.Size)+int64(e.Size) > RunBytes || int64(last.Count)+int64(e.Count) > math.MaxInt32 || !b.reaches(e) {
		return false
	}
	r := &b.runs[len(b.runs)-1]
	r.end, r.size = r.end+uint32(e.Count), r.size+uint32(e.Size)
	r.batches += uint32(max(e.Batches, 1))
	r.timestamp = int32(max(last.MaxTimestamp, e.MaxTimestamp) - b.timestamp)
	b.note(e)
	return true
}

// note counts e in.
func (b *block) note(e Entry) {
	b.bytes += int64(e.Size)
	b.maxTimestamp = max(b.maxTimestamp, e.MaxTimestamp)
}

// reaches says whether the block's base and timestamp are near enough to those of e.
func (b *block) reaches(e Entry) bool {
	late := e.MaxTimestamp - b.timestamp
	return e.End()-b.base <= math.MaxUint32 && late >= math.MinInt32 && late <= math.MaxInt32
}

// entry returns run i.
func (b *block) entry(i int) Entry {
	r, base := &b.runs[i], b.base
	if i > 0 {
		base += int64(b.runs[i-1].end)
	}
	at := b.position + Position(r.position)
	return Entry{Base: base, Position: at, Group: at - Position(r.group), MaxTimestamp: b.timestamp + int64(r.timestamp),
		Size: int32(r.size), Count: int32(b.base + int64(r.end) - base), Epoch: b.epoch, Batches: int32(r.batches)}
}

// end returns the offset after the last.
func (b *block) end() int64 { return b.base + int64(b.runs[len(b.runs)-1].end) }

// find returns the first run that ends above offset, which the block has.
func (b *block) find(offset int64) int {
	return sort.Search(len(b.runs), func(i int) bool { return b.base+int64(b.runs[i].end) > offset })
}

// memory is what the block takes.
func (b *block) memory() int64 { return blockMemory + int64(cap(b.runs))*runMemory }
