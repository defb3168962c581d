package object

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sort"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Footer is the index of an object.
type Footer struct {
	ID         meta.ObjectID
	CreatedMs  int64   // ms since epoch
	Partitions []Range // sorted by topic id and index
	Sections   []Section
}

// Section is a snapshot of the idempotent producers of one partition (see
// internal/idempotence).
type Section struct {
	Partition      topic.Partition
	Offset, Length int64 // bytes in the object
	CRC            uint32
	End            int64 // the snapshot covers the partition's log up to this offset
}

// Verify checks data against the section's length and checksum.
func (s Section) Verify(data []byte) error {
	if int64(len(data)) != s.Length {
		return corrupt("the section at %d has %d bytes, not %d", s.Offset, s.Length, len(data))
	}
	if got := crc32.Checksum(data, castagnoli); got != s.CRC {
		return corrupt("the section at %d has CRC %08x, want %08x", s.Offset, got, s.CRC)
	}
	return nil
}

// Range is what an object holds of one partition.
type Range struct {
	Partition    topic.Partition
	Base, End    int64 // offsets [Base, End); compaction may have left gaps
	MaxTimestamp int64 // ms since epoch, or -1
	Bytes        int64
	Blocks       []Block // at least one, in offset order, adjacent in the object
}

// Block is a sequence of whole batches that is read and verified as a unit.
type Block struct {
	Offset, Length int64 // bytes in the object
	CRC            uint32
	Base, End      int64 // offsets [Base, End)
	MaxTimestamp   int64 // ms since epoch, or -1
}

// Range returns what the object holds of p.
func (f *Footer) Range(p topic.Partition) (*Range, bool) {
	i, ok := slices.BinarySearchFunc(f.Partitions, p, func(r Range, p topic.Partition) int { return order(r.Partition, p) })
	if !ok {
		return nil, false
	}
	return &f.Partitions[i], true
}

// order sorts partitions by topic id and index.
func order(a, b topic.Partition) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Index, b.Index))
}

// Find returns the index of the block to read for offset: the one that holds it
// or, if compaction has removed it, the next one. ok is false at End and above.
func (r *Range) Find(offset int64) (i int, ok bool) {
	if offset >= r.End {
		return 0, false
	}
	return sort.Search(len(r.Blocks), func(i int) bool { return r.Blocks[i].End > offset }), true
}

// Verify checks data against the block's length and checksum.
func (b Block) Verify(data []byte) error {
	if int64(len(data)) != b.Length {
		return corrupt("the block at %d has %d bytes, not %d", b.Offset, b.Length, len(data))
	}
	if got := crc32.Checksum(data, castagnoli); got != b.CRC {
		return corrupt("the block at %d has CRC %08x, the footer says %08x", b.Offset, got, b.CRC)
	}
	return nil
}

// add appends b after the last block and updates the totals.
func (r *Range) add(b Block) {
	if len(r.Blocks) == 0 {
		r.Base, r.MaxTimestamp = b.Base, b.MaxTimestamp
	}
	r.End, r.MaxTimestamp = b.End, max(r.MaxTimestamp, b.MaxTimestamp)
	r.Bytes += b.Length
	r.Blocks = append(r.Blocks, b)
}

// size returns the length of the encoded footer.
func (f *Footer) size() int {
	n := footerFixedSize + rangeSize*len(f.Partitions)
	if len(f.Sections) > 0 {
		n += 4 + sectionSize*len(f.Sections)
	}
	for i := range f.Partitions {
		n += blockSize * len(f.Partitions[i].Blocks)
	}
	return n
}

// appendTo encodes the footer and its trailer.
func (f *Footer) appendTo(dst []byte) []byte {
	start := len(dst)
	be := binary.BigEndian
	dst = append(dst, f.ID[:]...)
	dst = be.AppendUint64(dst, uint64(f.CreatedMs))
	dst = be.AppendUint32(dst, uint32(len(f.Partitions)))
	v := uint16(version)
	if len(f.Sections) > 0 {
		v = withSections
		dst = be.AppendUint32(dst, uint32(len(f.Sections)))
	}
	for i := range f.Partitions {
		r := &f.Partitions[i]
		dst = append(dst, r.Partition.Topic[:]...)
		dst = be.AppendUint32(dst, uint32(r.Partition.Index))
		dst = be.AppendUint32(dst, uint32(len(r.Blocks)))
		dst = be.AppendUint64(dst, uint64(r.Blocks[0].Offset))
		for _, b := range r.Blocks {
			dst = be.AppendUint32(dst, uint32(b.Length))
			dst = be.AppendUint32(dst, b.CRC)
			dst = be.AppendUint64(dst, uint64(b.Base))
			dst = be.AppendUint64(dst, uint64(b.End))
			dst = be.AppendUint64(dst, uint64(b.MaxTimestamp))
		}
	}
	for _, s := range f.Sections {
		dst = append(dst, s.Partition.Topic[:]...)
		dst = be.AppendUint32(dst, uint32(s.Partition.Index))
		dst = be.AppendUint32(dst, uint32(s.Length))
		dst = be.AppendUint32(dst, s.CRC)
		dst = be.AppendUint64(dst, uint64(s.End))
	}
	dst = be.AppendUint32(dst, uint32(len(dst)-start))
	dst = be.AppendUint16(dst, v)
	dst = be.AppendUint16(dst, 0)
	dst = be.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, trailerMagic...)
}

// decodeFooter decodes b, whose CRC has been verified, of an object whose blocks
// and sections end at end. It uses memory in proportion to b, whatever counts b
// claims.
func decodeFooter(b []byte, v uint16, end int64) (*Footer, error) {
	if len(b) < footerFixedSize {
		return nil, corrupt("a footer of %d bytes", len(b))
	}
	be := binary.BigEndian
	f := &Footer{ID: meta.ObjectID(b[:16]), CreatedMs: int64(be.Uint64(b[16:]))}
	n := be.Uint32(b[24:])
	b = b[footerFixedSize:]
	if v == withSections {
		var err error
		if b, end, err = f.decodeSections(b, end); err != nil {
			return nil, err
		}
	}
	if int64(n) > int64(len(b))/(rangeSize+blockSize) {
		return nil, corrupt("%d partitions in %d bytes of footer", n, len(b))
	}
	f.Partitions = make([]Range, n)
	for i := range f.Partitions {
		r := &f.Partitions[i]
		var err error
		if b, err = r.decode(b, end); err != nil {
			return nil, err
		}
		if i > 0 && order(f.Partitions[i-1].Partition, r.Partition) >= 0 {
			return nil, corrupt("%s is out of order in the footer", r.Partition)
		}
	}
	if len(b) > 0 {
		return nil, corrupt("%d bytes follow the footer's %d partitions", len(b), n)
	}
	return f, f.checkTiling(end)
}

// decodeSections decodes the sections at the end of b, which starts with their
// count, and returns what lies between, and where the blocks end.
func (f *Footer) decodeSections(b []byte, end int64) (rest []byte, blocks int64, err error) {
	if len(b) < 4 {
		return nil, 0, corrupt("the footer ends before its sections")
	}
	be := binary.BigEndian
	n := be.Uint32(b)
	b = b[4:]
	if n == 0 || int64(n) > int64(len(b))/sectionSize {
		return nil, 0, corrupt("%d sections in %d bytes of footer", n, len(b))
	}
	at := len(b) - int(n)*sectionSize
	f.Sections = make([]Section, n)
	for i := len(f.Sections) - 1; i >= 0; i-- {
		e := b[at+i*sectionSize:]
		s := Section{Partition: topic.Partition{Topic: topic.ID(e[:16]), Index: int32(be.Uint32(e[16:]))},
			Length: int64(be.Uint32(e[20:])), CRC: be.Uint32(e[24:]), End: int64(be.Uint64(e[28:]))}
		if end -= s.Length; s.Length == 0 || end < headerSize || s.End < 0 {
			return nil, 0, corrupt("a section of %d bytes up to offset %d of %s begins at %d", s.Length, s.End, s.Partition, end)
		}
		s.Offset = end
		f.Sections[i] = s
	}
	return b[:at], end, nil
}

// decode decodes one partition and returns what follows it.
func (r *Range) decode(b []byte, end int64) (rest []byte, err error) {
	if len(b) < rangeSize {
		return nil, corrupt("the footer ends within a partition")
	}
	be := binary.BigEndian
	r.Partition = topic.Partition{Topic: topic.ID(b[:16]), Index: int32(be.Uint32(b[16:]))}
	n, at := be.Uint32(b[20:]), int64(be.Uint64(b[24:]))
	b = b[rangeSize:]
	switch {
	case n == 0 || int64(n) > int64(len(b))/blockSize:
		return nil, corrupt("%s has %d blocks in %d bytes of footer", r.Partition, n, len(b))
	case at < headerSize || at >= end:
		return nil, corrupt("%s begins at %d in %d bytes", r.Partition, at, end)
	}
	r.Blocks = make([]Block, 0, n)
	for range n {
		k := Block{Offset: at, Length: int64(be.Uint32(b)), CRC: be.Uint32(b[4:]),
			Base: int64(be.Uint64(b[8:])), End: int64(be.Uint64(b[16:])), MaxTimestamp: int64(be.Uint64(b[24:]))}
		switch {
		case k.Length == 0 || k.Length > end-at:
			return nil, corrupt("the block at %d of length %d exceeds the %d bytes of blocks", at, k.Length, end)
		case k.Base < 0 || k.Base >= k.End || len(r.Blocks) > 0 && k.Base < r.End:
			return nil, corrupt("the block at %d with offsets [%d, %d) of %s follows %d", at, k.Base, k.End, r.Partition, r.End)
		}
		r.add(k)
		at += k.Length
		b = b[blockSize:]
	}
	return b, nil
}

// checkTiling checks that the partitions' bytes fill [headerSize, end) without
// overlap.
func (f *Footer) checkTiling(end int64) error {
	byPlace := make([]*Range, len(f.Partitions))
	for i := range f.Partitions {
		byPlace[i] = &f.Partitions[i]
	}
	slices.SortFunc(byPlace, func(a, b *Range) int { return cmp.Compare(a.Blocks[0].Offset, b.Blocks[0].Offset) })
	at := int64(headerSize)
	for _, r := range byPlace {
		if r.Blocks[0].Offset != at {
			return corrupt("%s begins at %d, the one before it ends at %d", r.Partition, r.Blocks[0].Offset, at)
		}
		at += r.Bytes
	}
	if at != end {
		return corrupt("blocks end at %d, the footer begins at %d", at, end)
	}
	return nil
}
