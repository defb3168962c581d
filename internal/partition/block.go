package partition

import (
	"math"
	"sort"
	"unsafe"
)

// block holds up to blockEntries consecutive entries of one epoch. An entry takes 24
// bytes: its position and time are relative to the block's. If that does not fit,
// a new block is started.
type block struct {
	base         int64
	position     Position // of the first entry
	timestamp    int64    // of the first entry
	epoch        int32
	bytes        int64 // over all entries
	maxTimestamp int64 // over all entries
	entries      []packedEntry
}

type packedEntry struct {
	end       uint32 // offset after its last, relative to the block's base
	position  uint32 // relative to the block's
	group     uint32 // bytes from the start of its group
	size      uint32
	batches   uint32
	timestamp int32 // max, relative to the block's
}

const (
	blockEntries = 32
	firstEntries = 4 // capacity of a new block, which grows by doubling

	entryMemory = int64(unsafe.Sizeof(packedEntry{}))
	blockMemory = int64(unsafe.Sizeof(block{}) + 2*unsafe.Sizeof((*block)(nil)))

	// AppendMemory is the most memory that one Append to a Tail takes: a block
	// grows.
	AppendMemory = blockEntries / 2 * entryMemory
)

// newBlock returns a block that starts with e.
func newBlock(e Entry) *block {
	b := &block{base: e.Base, position: e.Position, timestamp: e.MaxTimestamp, epoch: e.Epoch, maxTimestamp: e.MaxTimestamp,
		entries: make([]packedEntry, 0, firstEntries)}
	b.push(e)
	return b
}

// add adds e as a new entry after the last. It returns false if e needs a new
// block.
func (b *block) add(e Entry) bool {
	if len(b.entries) == blockEntries || e.Epoch != b.epoch || !b.reaches(e) || e.Position < b.position ||
		e.Position-b.position > math.MaxUint32 {
		return false
	}
	if len(b.entries) == cap(b.entries) {
		b.entries = append(make([]packedEntry, 0, 2*cap(b.entries)), b.entries...)
	}
	b.push(e)
	return true
}

func (b *block) push(e Entry) {
	b.entries = append(b.entries, packedEntry{end: uint32(e.End() - b.base), position: uint32(e.Position - b.position),
		group: uint32(e.Position - e.Group), size: uint32(e.Size), batches: uint32(max(e.Batches, 1)),
		timestamp: int32(e.MaxTimestamp - b.timestamp)})
	b.note(e)
}

// extend merges e, which follows the last entry in offsets, into that entry, if
// it follows in bytes too and the entry may grow.
func (b *block) extend(e Entry) bool {
	last := b.entry(len(b.entries) - 1)
	if e.Group != last.Group || e.Position != last.Position+Position(last.Size) || e.Epoch != last.Epoch ||
		int64(last.Size)+int64(e.Size) > RunBytes || int64(last.Count)+int64(e.Count) > math.MaxInt32 || !b.reaches(e) {
		return false
	}
	r := &b.entries[len(b.entries)-1]
	r.end, r.size = r.end+uint32(e.Count), r.size+uint32(e.Size)
	r.batches += uint32(max(e.Batches, 1))
	r.timestamp = int32(max(last.MaxTimestamp, e.MaxTimestamp) - b.timestamp)
	b.note(e)
	return true
}

// note adds e to the totals.
func (b *block) note(e Entry) {
	b.bytes += int64(e.Size)
	b.maxTimestamp = max(b.maxTimestamp, e.MaxTimestamp)
}

// reaches reports whether e is close enough to the block's base and timestamp to
// be encoded.
func (b *block) reaches(e Entry) bool {
	late := e.MaxTimestamp - b.timestamp
	return e.End()-b.base <= math.MaxUint32 && late >= math.MinInt32 && late <= math.MaxInt32
}

// entry returns entry i.
func (b *block) entry(i int) Entry {
	r, base := &b.entries[i], b.base
	if i > 0 {
		base += int64(b.entries[i-1].end)
	}
	at := b.position + Position(r.position)
	return Entry{Base: base, Position: at, Group: at - Position(r.group), MaxTimestamp: b.timestamp + int64(r.timestamp),
		Size: int32(r.size), Count: int32(b.base + int64(r.end) - base), Epoch: b.epoch, Batches: int32(r.batches)}
}

// end returns the offset after the last.
func (b *block) end() int64 { return b.base + int64(b.entries[len(b.entries)-1].end) }

// find returns the first entry that ends above offset; there must be one.
func (b *block) find(offset int64) int {
	return sort.Search(len(b.entries), func(i int) bool { return b.base+int64(b.entries[i].end) > offset })
}

// memory is the memory of the block.
func (b *block) memory() int64 { return blockMemory + int64(cap(b.entries))*entryMemory }
