package guard

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Replica identifies a log: a Raft shard and this node's replica in it.
type Replica struct{ Shard, ID uint64 }

// Mark is the position that a log has reached.
type Mark struct {
	Index    uint64 // of the last entry
	Term     uint64
	Vote     uint64 // in that term; 0: none
	Snapshot uint64 // index of the last snapshot; 0: none
}

// Ahead reports whether m has anything that a log at other lacks.
func (m Mark) Ahead(other Mark) bool {
	return m.Index > other.Index || m.Snapshot > other.Snapshot || m.Term > other.Term ||
		m.Term == other.Term && m.Vote != 0 && m.Vote != other.Vote
}

// With returns the smallest mark that is behind neither m nor other.
func (m Mark) With(other Mark) Mark {
	both := Mark{Index: max(m.Index, other.Index), Snapshot: max(m.Snapshot, other.Snapshot), Term: m.Term, Vote: m.Vote}
	if other.Term > m.Term || other.Term == m.Term && m.Vote == 0 {
		both.Term, both.Vote = other.Term, other.Vote
	}
	return both
}

const (
	pageBytes  = 4096
	headBytes  = 32
	entryBytes = 48
	// MaxReplicas is the number of logs that fit into a page.
	MaxReplicas = (pageBytes - headBytes) / entryBytes

	version = 1
)

var (
	magic      = []byte("sluiceRG")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// encode encodes a page.
func encode(generation uint64, marks map[Replica]Mark) []byte {
	p := make([]byte, pageBytes)
	copy(p, magic)
	binary.LittleEndian.PutUint32(p[8:], version)
	binary.LittleEndian.PutUint64(p[16:], generation)
	binary.LittleEndian.PutUint32(p[24:], uint32(len(marks)))
	replicas := make([]Replica, 0, len(marks))
	for r := range marks {
		replicas = append(replicas, r)
	}
	slices.SortFunc(replicas, func(a, b Replica) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.ID, b.ID))
	})
	at := headBytes
	for _, r := range replicas {
		m := marks[r]
		for _, n := range [...]uint64{r.Shard, r.ID, m.Index, m.Term, m.Vote, m.Snapshot} {
			binary.LittleEndian.PutUint64(p[at:], n)
			at += 8
		}
	}
	binary.LittleEndian.PutUint32(p[12:], crc32.Checksum(p, castagnoli))
	return p
}

// decode decodes a page.
func decode(p []byte) (generation uint64, marks map[Replica]Mark, err error) {
	if len(p) != pageBytes || !bytes.Equal(p[:8], magic) {
		return 0, nil, fmt.Errorf("%w: not a guard page", ErrDamaged)
	}
	zeroed := bytes.Clone(p)
	clear(zeroed[12:16])
	if binary.LittleEndian.Uint32(p[12:]) != crc32.Checksum(zeroed, castagnoli) {
		return 0, nil, fmt.Errorf("%w: checksum", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint32(p[8:]); v != version {
		return 0, nil, fmt.Errorf("%w: version %d, supported is %d", ErrVersion, v, version)
	}
	n := binary.LittleEndian.Uint32(p[24:])
	if n > MaxReplicas {
		return 0, nil, fmt.Errorf("%w: %d entries", ErrDamaged, n)
	}
	marks = make(map[Replica]Mark, n)
	number := func(entry uint32, field int) uint64 {
		return binary.LittleEndian.Uint64(p[headBytes+int(entry)*entryBytes+8*field:])
	}
	for i := range n {
		marks[Replica{number(i, 0), number(i, 1)}] = Mark{number(i, 2), number(i, 3), number(i, 4), number(i, 5)}
	}
	return binary.LittleEndian.Uint64(p[16:]), marks, nil
}
