package partition

import (
	"sort"
	"sync"
)

// Position is a logical byte position in the broker's WAL. It only grows; a
// position maps to a segment file and an offset in it.
type Position uint64

// Entry is one batch in the WAL.
type Entry struct {
	Base         int64
	Position     Position // of the batch's first byte
	Group        Position // of the WAL group that holds it
	MaxTimestamp int64    // ms since epoch
	Size         int32    // bytes of the batch
	Count        int32    // last offset delta + 1
	Epoch        int32
}

// End returns the offset after the batch's last.
func (e Entry) End() int64 { return e.Base + int64(e.Count) }

// Tail indexes the batches of one partition that are in the WAL, by offset.
// The zero value is empty.
type Tail struct {
	mu      sync.RWMutex
	entries []Entry // ascending, contiguous
}

// Append adds e behind the last entry. An entry that does not continue the
// tail replaces it; recovery relies on that when it meets a gap closed by objects.
func (t *Tail) Append(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.entries); n > 0 && t.entries[n-1].End() != e.Base {
		t.entries = t.entries[:0]
	}
	t.entries = append(t.entries, e)
}

// From copies into dst, which it returns, the entries from the one that holds
// offset on, until their sizes exceed maxBytes (the first is always taken) or
// an entry would reach past end. ok is false when offset is below the tail.
func (t *Tail) From(dst []Entry, offset, end int64, maxBytes int) (out []Entry, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.entries) == 0 || offset < t.entries[0].Base {
		return dst, false
	}
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].End() > offset })
	for ; i < len(t.entries); i++ {
		e := t.entries[i]
		if e.End() > end || len(dst) > 0 && int(e.Size) > maxBytes {
			break
		}
		dst = append(dst, e)
		maxBytes -= int(e.Size)
	}
	return dst, true
}

// Below returns a copy of the entries at or above offset whose positions are
// below pos.
func (t *Tail) Below(pos Position, offset int64) []Entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	from := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].End() > offset })
	to := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].Position >= pos })
	if from >= to {
		return nil
	}
	return append([]Entry(nil), t.entries[from:to]...)
}

// Sum returns the size of the entries in [from, end) and their largest timestamp,
// -1 where there is none.
func (t *Tail) Sum(from, end int64) (bytes, maxTimestamp int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	maxTimestamp = -1
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].End() > from })
	for ; i < len(t.entries) && t.entries[i].End() <= end; i++ {
		bytes += int64(t.entries[i].Size)
		maxTimestamp = max(maxTimestamp, t.entries[i].MaxTimestamp)
	}
	return bytes, maxTimestamp
}

// Start returns the first offset in the tail; ok is false when it is empty.
func (t *Tail) Start() (offset int64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.entries) == 0 {
		return 0, false
	}
	return t.entries[0].Base, true
}

// Trim forgets entries that end at or below offset.
func (t *Tail) Trim(offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].End() > offset })
	if i == 0 {
		return
	}
	t.entries = append(make([]Entry, 0, len(t.entries)-i), t.entries[i:]...)
}

// ByTime returns the first entry that ends above offset from and whose max
// timestamp is at or after ms.
func (t *Tail) ByTime(ms, from int64) (Entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, e := range t.entries {
		if e.MaxTimestamp >= ms && e.End() > from {
			return e, true
		}
	}
	return Entry{}, false
}
