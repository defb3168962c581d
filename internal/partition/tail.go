package partition

import (
	"iter"
	"sync"

	"github.com/sluicemq/sluice/internal/memory"
)

// Position is a logical byte position in the broker's WAL. It only grows; a
// position maps to a segment file and an offset in it.
type Position uint64

// Entry is an entry of the tail index: one or more batches in the WAL that are
// adjacent in offsets and in bytes, in one group and of one epoch. Only the
// batches themselves say where they are within it.
type Entry struct {
	Base         int64
	Position     Position // of the first batch's first byte
	Group        Position // of the WAL group that holds it
	MaxTimestamp int64    // ms since epoch, over its batches
	Size         int32    // total bytes of the batches
	Count        int32    // offsets that they cover
	Epoch        int32
	Batches      int32 // 0 means 1
}

// End returns the offset after the entry's last.
func (e Entry) End() int64 { return e.Base + int64(e.Count) }

// Read is one of many reads from the WAL: Into, of Entry.Size bytes, is filled,
// or Err says why not.
type Read struct {
	Entry Entry
	Into  []byte
	Err   error
}

// RunBytes is the maximum size of an entry. A reader that looks for an offset
// scans the entry's batches from its start, and reads it whole if it is only on
// disk.
const RunBytes = 64 << 10

// Tail indexes the batches of one partition that are in the WAL, by offset. It
// indexes groups of adjacent batches rather than each batch, so that it stays
// small when batches are. The zero value is empty.
//
// Invariants: blocks are ascending and contiguous in offsets, none is empty, and
// the first has an offset that is not below floor. account is charged with their
// memory.
type Tail struct {
	mu      sync.RWMutex
	bytes   int64 // ever appended
	blocks  []*block
	floor   int64 // offsets below are dropped, though an entry may cover them
	account *memory.Account
	closed  bool // nothing is kept any more
}

// ChargeTo charges the index to a. Call it before the first Append.
func (t *Tail) ChargeTo(a *memory.Account) { t.account = a }

// Append adds e after the last entry, or merges it into that. An entry that does
// not continue the tail replaces it; recovery relies on that when it meets a gap
// that objects fill.
func (t *Tail) Append(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.blocks)
	if t.closed {
		return
	}
	t.bytes += int64(e.Size)
	if n > 0 && t.blocks[n-1].end() != e.Base {
		t.drop(n)
		n = 0
	}
	if n == 0 {
		t.floor = e.Base
	} else if b := t.blocks[n-1]; b.extend(e) {
		return
	} else if was := b.memory(); b.add(e) {
		t.account.Charge(b.memory() - was)
		return
	}
	b := newBlock(e)
	t.blocks = append(t.blocks, b)
	t.account.Charge(b.memory())
}

// appendedTo returns the total bytes ever appended, and the offset after the
// last, -1 if the tail is empty.
func (t *Tail) appendedTo() (bytes, end int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := len(t.blocks); n > 0 {
		return t.bytes, t.blocks[n-1].end()
	}
	return t.bytes, -1
}

// From appends to dst the entries from the one that holds offset on, until they
// cover maxBytes from there on (the first is always included) or reach end. The
// first may start before offset, and the last end after end: only their batches
// tell where to split. ok is false if offset is below the tail.
func (t *Tail) From(dst []Entry, offset, end int64, maxBytes int) (out []Entry, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.blocks) == 0 || offset < t.floor {
		return dst, false
	}
	for e := range t.entries(offset) {
		if e.Base >= end || len(dst) > 0 && maxBytes <= 0 {
			break
		}
		dst = append(dst, e)
		maxBytes -= int(e.share(offset, end))
	}
	return dst, true
}

// Estimate returns the approximate number of bytes of batches from offset to end,
// up to maxBytes but at least one batch; it is exact if both are entry
// boundaries. ok is false if offset is below the tail.
func (t *Tail) Estimate(offset, end int64, maxBytes int) (n int, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.blocks) == 0 || offset < t.floor {
		return 0, false
	}
	least, sum := int64(0), int64(0)
	for e := range t.entries(offset) {
		if e.Base >= end || sum >= int64(maxBytes) {
			break
		}
		if least == 0 {
			least = e.batch()
		}
		sum += e.share(offset, end)
	}
	return int(max(least, min(sum, int64(maxBytes)))), true
}

// Estimate is [Tail.Estimate] for entries that it returned.
func Estimate(entries []Entry, offset, end int64, maxBytes int) int {
	sum := int64(0)
	for _, e := range entries {
		sum += e.share(offset, end)
	}
	if len(entries) == 0 {
		return 0
	}
	return int(max(entries[0].batch(), min(sum, int64(maxBytes))))
}

// batch is the mean size of a batch.
func (e Entry) batch() int64 { return int64(e.Size) / int64(max(e.Batches, 1)) }

// share approximates the bytes of e from offset to end, as if all offsets had the
// same size.
func (e Entry) share(offset, end int64) int64 {
	from, to := max(offset, e.Base), min(end, e.End())
	switch {
	case from <= e.Base && to >= e.End() || e.Batches <= 1:
		return int64(e.Size)
	case from >= to:
		return 0
	}
	return max(1, int64(float64(e.Size)*float64(to-from)/float64(e.Count)))
}

// Entries yields the entries with offsets from from to below end. It holds no lock
// while it yields: entries dropped meanwhile may be missing.
func (t *Tail) Entries(from, end int64) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		var some [64]Entry
		for {
			n := t.copy(some[:], from, end)
			for _, e := range some[:n] {
				if !yield(e) {
					return
				}
			}
			if n < len(some) {
				return
			}
			from = some[n-1].End()
		}
	}
}

func (t *Tail) copy(dst []Entry, from, end int64) (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for e := range t.entries(from) {
		if n == len(dst) || e.Base >= end {
			break
		}
		dst[n] = e
		n++
	}
	return n
}

// Sum returns the total size of the entries with offsets from from to below end,
// and their largest timestamp, -1 if there is none.
func (t *Tail) Sum(from, end int64) (bytes, maxTimestamp int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	maxTimestamp = -1
	at, i := t.find(from)
	for ; at < len(t.blocks); at, i = at+1, 0 {
		b := t.blocks[at]
		if i == 0 && b.end() <= end {
			bytes, maxTimestamp = bytes+b.bytes, max(maxTimestamp, b.maxTimestamp)
			continue
		}
		for ; i < len(b.entries); i++ {
			e := b.entry(i)
			if e.Base >= end {
				return bytes, maxTimestamp
			}
			bytes, maxTimestamp = bytes+int64(e.Size), max(maxTimestamp, e.MaxTimestamp)
		}
	}
	return bytes, maxTimestamp
}

// Start returns the first offset in the tail; ok is false when it is empty.
func (t *Tail) Start() (offset int64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.blocks) == 0 {
		return 0, false
	}
	return t.floor, true
}

// Trim drops what is below offset.
func (t *Tail) Trim(offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.blocks) == 0 || offset <= t.floor {
		return
	}
	at, _ := t.find(offset)
	t.drop(at)
	t.floor = offset
}

// Truncate drops the entries from offset to on. If an entry covers to, and has
// offsets below it, that entry is replaced by short, which is its part below to.
func (t *Tail) Truncate(to int64, short Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, i := t.find(to)
	if at == len(t.blocks) {
		return
	}
	b := t.blocks[at]
	kept := make([]Entry, 0, i+1)
	for j := range i {
		kept = append(kept, b.entry(j))
	}
	if b.entry(i).Base < to && short.Count > 0 {
		kept = append(kept, short)
	}
	for j := at; j < len(t.blocks); j++ {
		t.account.Charge(-t.blocks[j].memory())
		t.blocks[j] = nil
	}
	t.blocks = t.blocks[:at]
	for _, e := range kept {
		if n := len(t.blocks); n > at {
			if was := t.blocks[at].memory(); t.blocks[at].add(e) {
				t.account.Charge(t.blocks[at].memory() - was)
				continue
			}
		}
		nb := newBlock(e)
		t.blocks = append(t.blocks, nb)
		t.account.Charge(nb.memory())
	}
	if len(t.blocks) == 0 {
		t.blocks = nil
	}
}

// At returns the entry that holds offset.
func (t *Tail) At(offset int64) (Entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for e := range t.entries(offset) {
		return e, e.Base <= offset
	}
	return Entry{}, false
}

// Close drops everything, permanently.
func (t *Tail) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(len(t.blocks))
	t.closed = true
}

// ByTime returns the first entry that ends above offset from and whose max
// timestamp is at or after ms.
func (t *Tail) ByTime(ms, from int64) (Entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, i := t.find(from)
	for ; at < len(t.blocks); at, i = at+1, 0 {
		b := t.blocks[at]
		if b.maxTimestamp < ms {
			continue
		}
		for ; i < len(b.entries); i++ {
			if e := b.entry(i); e.MaxTimestamp >= ms {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// entries yields the entries from the one that holds offset on. Holds mu.
func (t *Tail) entries(offset int64) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		at, i := t.find(offset)
		for ; at < len(t.blocks); at, i = at+1, 0 {
			for b := t.blocks[at]; i < len(b.entries); i++ {
				if !yield(b.entry(i)) {
					return
				}
			}
		}
	}
}

// find returns the block and the index of the first entry that ends above offset
// and is not dropped. Holds mu.
func (t *Tail) find(offset int64) (at, i int) {
	offset = max(offset, t.floor)
	from, to := 0, len(t.blocks)
	for from < to {
		if mid := (from + to) / 2; t.blocks[mid].end() > offset {
			to = mid
		} else {
			from = mid + 1
		}
	}
	if from == len(t.blocks) {
		return from, 0
	}
	return from, t.blocks[from].find(offset)
}

// drop drops the first n blocks. Holds mu.
func (t *Tail) drop(n int) {
	for i, b := range t.blocks[:n] {
		t.account.Charge(-b.memory())
		t.blocks[i] = nil
	}
	if n == len(t.blocks) {
		t.blocks = nil
		return
	}
	t.blocks = t.blocks[n:]
}
