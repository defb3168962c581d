package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// Everything is little-endian. Checksums are CRC32C. A segment file:
//
//	block 0      segment header
//	block 1...   groups, each padded with zeroes to whole blocks
//
// Segment header, one block:
//
//	 0  8  magic "SLUICEWS"
//	 8  2  version, 2; 1 has no truncated
//	10  2  zero
//	12  4  checksum of the block but for this field
//	16 16  WAL uuid
//	32  8  position of the segment's first byte
//	40  8  size of the segment
//	48  8  sequence of its first group
//	56  8  link: that of the last group before it
//	64  8  highest sequence known durable when this was written
//	72  8  run
//	80  8  truncated: sequence of the last truncation before, 0 for none
//	88     zeroes
//
// Group head, and the table that follows it:
//
//	 0  8  magic "SLUICEWG"
//	 8  2  version, 2; 1 knows batches only
//	10  2  kind: 0 batches, 1 truncations
//	12  4  checksum of head and table but for this field
//	16 16  WAL uuid
//	32  8  sequence, dense
//	40  8  position of the group
//	48  8  link: the checksums of the group before, head's above body's
//	56  8  highest sequence known durable when this was built
//	64  8  run: above, how often the log was recovered before; below, chance
//	72  4  length: head, table and batches
//	76  4  number of batches
//	80  4  checksum of the batches
//	84  4  zero
//	88 36  for each batch: topic id 16, partition 4, leader epoch 4, base
//	       offset 8, size 4
//	       the batches, in the order of the table, without gaps
//
// The rows of a truncation have no size, and as base offset the one from which on
// what the partition had before in this log is void.
//
// The checksum of the head covers that of the body, so a head that is right tells
// how far a group reaches, and which batches it had, even if its body is not; and
// a body is never believed without its head.
const (
	version     = 2
	headSize    = 88
	rowSize     = 36
	offChecksum = 12

	// maxGroup bounds what a length may claim: no segment is larger.
	maxGroup = 1 << 30
)

var (
	segmentMagic = [8]byte{'S', 'L', 'U', 'I', 'C', 'E', 'W', 'S'}
	groupMagic   = [8]byte{'S', 'L', 'U', 'I', 'C', 'E', 'W', 'G'}
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	le           = binary.LittleEndian
)

// kind says what the rows of a group's table describe.
type kind uint16

const (
	batches     kind = 0
	truncations kind = 1
)

// errVersion: a newer broker wrote this. Nothing may be trimmed.
var errVersion = errors.New("the WAL has a newer version")

// errNotWritten: the bytes do not belong to this log at this position. They are
// left from a segment's earlier use, or from a write that never finished.
var errNotWritten = errors.New("no group here")

// identity distinguishes the blocks of a log, at their position, from all others.
type identity struct {
	wal      uuid.UUID
	position partition.Position
}

// anchor is a position in the chain of groups: what comes next, and what came
// before.
type anchor struct {
	sequence uint64 // of the next group
	link     uint64 // of the previous group
}

// segmentHeader is block 0 of a segment.
type segmentHeader struct {
	identity
	anchor
	size      int64
	durable   uint64
	run       uint64
	truncated uint64
}

func (h *segmentHeader) encode(block []byte) {
	clear(block[:blockfs.BlockSize])
	copy(block, segmentMagic[:])
	le.PutUint16(block[8:], version)
	copy(block[16:], h.wal[:])
	le.PutUint64(block[32:], uint64(h.position))
	le.PutUint64(block[40:], uint64(h.size))
	le.PutUint64(block[48:], h.sequence)
	le.PutUint64(block[56:], h.link)
	le.PutUint64(block[64:], h.durable)
	le.PutUint64(block[72:], h.run)
	le.PutUint64(block[80:], h.truncated)
	le.PutUint32(block[offChecksum:], headChecksum(block[:blockfs.BlockSize]))
}

// decodeSegment reads block 0 of a segment.
func decodeSegment(block []byte) (h segmentHeader, err error) {
	if len(block) < blockfs.BlockSize || [8]byte(block[:8]) != segmentMagic {
		return h, fmt.Errorf("%w: no segment header", ErrCorrupt)
	}
	block = block[:blockfs.BlockSize]
	if le.Uint32(block[offChecksum:]) != headChecksum(block) {
		return h, fmt.Errorf("%w: checksum of segment header", ErrCorrupt)
	}
	if v := le.Uint16(block[8:]); v < 1 || v > version {
		return h, fmt.Errorf("%w: segment has version %d, this broker supports version %d", errVersion, v, version)
	}
	copy(h.wal[:], block[16:])
	h.position = partition.Position(le.Uint64(block[32:]))
	h.size = int64(le.Uint64(block[40:]))
	h.sequence, h.link = le.Uint64(block[48:]), le.Uint64(block[56:])
	h.durable, h.run, h.truncated = le.Uint64(block[64:]), le.Uint64(block[72:]), le.Uint64(block[80:])
	if h.size < 2*blockfs.BlockSize || h.size%blockfs.BlockSize != 0 {
		return h, fmt.Errorf("%w: segment of %d bytes", ErrCorrupt, h.size)
	}
	return h, nil
}

// head is the head of a group.
type head struct {
	identity
	anchor
	version uint16
	kind    kind
	durable uint64
	run     uint64
	length  int
	count   int
	body    uint32 // checksum
	sum     uint32 // of head and table
}

// end is where the batches begin.
func (h *head) end() int { return headSize + h.count*rowSize }

// linkNext is the link by which the next group refers to this one.
func (h *head) linkNext() uint64 { return uint64(h.sum)<<32 | uint64(h.body) }

// padded is the length on disk.
func (h *head) padded() int { return int(blockfs.AlignUp(int64(h.length))) }

// encode writes the head in front of an already encoded table, and sets h.sum.
func (h *head) encode(image []byte) {
	clear(image[:headSize])
	copy(image, groupMagic[:])
	le.PutUint16(image[8:], version)
	le.PutUint16(image[10:], uint16(h.kind))
	copy(image[16:], h.wal[:])
	le.PutUint64(image[32:], h.sequence)
	le.PutUint64(image[40:], uint64(h.position))
	le.PutUint64(image[48:], h.link)
	le.PutUint64(image[56:], h.durable)
	le.PutUint64(image[64:], h.run)
	le.PutUint32(image[72:], uint32(h.length))
	le.PutUint32(image[76:], uint32(h.count))
	le.PutUint32(image[80:], h.body)
	h.sum = headChecksum(image[:h.end()])
	le.PutUint32(image[offChecksum:], h.sum)
}

// headChecksum covers all of b except the checksum field.
func headChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:offChecksum], castagnoli), castagnoli, b[offChecksum+4:])
}

// decodeFixed decodes the fixed part of a head if it has identity id, and bounds
// it by room, the bytes left in its segment. Nothing in it is verified yet.
func decodeFixed(b []byte, id identity, room int64) (h head, err error) {
	if len(b) < headSize || [8]byte(b[:8]) != groupMagic ||
		[16]byte(b[16:32]) != id.wal || partition.Position(le.Uint64(b[40:])) != id.position {
		return h, errNotWritten
	}
	h.identity, h.version, h.kind = id, le.Uint16(b[8:]), kind(le.Uint16(b[10:]))
	h.sequence, h.link = le.Uint64(b[32:]), le.Uint64(b[48:])
	h.durable, h.run = le.Uint64(b[56:]), le.Uint64(b[64:])
	length, count := int64(le.Uint32(b[72:])), int64(le.Uint32(b[76:]))
	if length > min(room, maxGroup) || headSize+count*rowSize > length {
		return h, fmt.Errorf("%w: group of %d batches and %d bytes, but only %d bytes are left", ErrCorrupt, count, length, room)
	}
	h.length, h.count = int(length), int(count)
	h.body, h.sum = le.Uint32(b[80:]), le.Uint32(b[offChecksum:])
	return h, nil
}

// verifyTable verifies the head and table at the start of b.
func (h *head) verifyTable(b []byte) error {
	if headChecksum(b[:h.end()]) != h.sum {
		return fmt.Errorf("%w: checksum of the group's head", ErrCorrupt)
	}
	if h.version < 1 || h.version > version || h.kind > truncations {
		return fmt.Errorf("%w: group has version %d and kind %d, this broker supports version %d", errVersion, h.version, h.kind, version)
	}
	at := h.end()
	for i := range h.count {
		size := int(le.Uint32(b[headSize+i*rowSize+32:]))
		if size > h.length-at {
			return fmt.Errorf("%w: batch %d is larger than its group", ErrCorrupt, i)
		}
		if (size == 0) != (h.kind == truncations) {
			return fmt.Errorf("%w: row %d of %d bytes in a group of kind %d", ErrCorrupt, i, size, h.kind)
		}
		at += size
	}
	if at != h.length {
		return fmt.Errorf("%w: batches end at byte %d of a group of %d bytes", ErrCorrupt, at, h.length)
	}
	return nil
}

// verifyBody verifies the batches of an image whose head has been verified.
func (h *head) verifyBody(image []byte) error {
	if crc32.Checksum(image[h.end():h.length], castagnoli) != h.body {
		return fmt.Errorf("%w: checksum of the group's batches", ErrCorrupt)
	}
	return nil
}

// tableRow is one row of the table, and where its batch starts in the image.
type tableRow struct {
	partition topic.Partition
	epoch     int32
	base      int64
	size      int
	at        int
}

func (e *tableRow) encode(row []byte) {
	copy(row, e.partition.Topic[:])
	le.PutUint32(row[16:], uint32(e.partition.Index))
	le.PutUint32(row[20:], uint32(e.epoch))
	le.PutUint64(row[24:], uint64(e.base))
	le.PutUint32(row[32:], uint32(e.size))
}

// rows calls f for each row of a verified table, until f fails.
func (h *head) rows(image []byte, f func(tableRow) error) error {
	at := h.end()
	for i := range h.count {
		row := image[headSize+i*rowSize:]
		e := tableRow{epoch: int32(le.Uint32(row[20:])), base: int64(le.Uint64(row[24:])), size: int(le.Uint32(row[32:])), at: at}
		copy(e.partition.Topic[:], row)
		e.partition.Index = int32(le.Uint32(row[16:]))
		if err := f(e); err != nil {
			return err
		}
		at += e.size
	}
	return nil
}
