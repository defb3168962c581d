package compact

import "crypto/sha256"

// index maps each key to its latest offset. It holds 16-byte hashes, not keys:
// two keys with the same hash would lose a record, which truncated SHA-256 rules
// out, accidental or deliberate. Open addressing, at most three quarters full.
type index struct {
	slots []slot
	used  int
	most  int // slots that the budget allows, also while growing
}

type slot struct {
	hash [16]byte
	next int64 // offset + 1; 0: free
}

const (
	slotBytes = 24
	leastSize = 1 << 10
)

// newIndex returns an index that takes at most bytes of memory. While it doubles,
// the old and the new table exist at once.
func newIndex(bytes int64) *index {
	most := leastSize
	for int64(most)*2*slotBytes*3/2 <= bytes {
		most *= 2
	}
	return &index{slots: make([]slot, leastSize), most: most}
}

func (x *index) bytes() int64 { return int64(len(x.slots)) * slotBytes }

// put records the offset of a key; offsets must increase from call to call. ok is
// false if there is no space for a new key.
func (x *index) put(key []byte, offset int64) (ok bool) {
	h := hash(key)
	s := x.find(h)
	if s.next == 0 {
		if x.used >= len(x.slots)/4*3 {
			if len(x.slots) >= x.most {
				return false
			}
			x.grow()
			s = x.find(h)
		}
		s.hash = h
		x.used++
	}
	s.next = offset + 1
	return true
}

// get returns the latest offset of a key.
func (x *index) get(key []byte) (offset int64, ok bool) {
	s := x.find(hash(key))
	return s.next - 1, s.next > 0
}

func hash(key []byte) [16]byte {
	full := sha256.Sum256(key)
	return [16]byte(full[:16])
}

// find returns the slot of h, or the free one where it belongs.
func (x *index) find(h [16]byte) *slot {
	mask := len(x.slots) - 1
	at := int(h[0]) | int(h[1])<<8 | int(h[2])<<16 | int(h[3])<<24
	for i := at & mask; ; i = (i + 1) & mask {
		if s := &x.slots[i]; s.next == 0 || s.hash == h {
			return s
		}
	}
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.next > 0 {
			*x.find(s.hash) = s
		}
	}
}
