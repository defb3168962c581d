package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// A batch is a header of 61 bytes and its records. All integers are big-endian.
//
//	 0  8  base offset              set by Stamp, not in the CRC
//	 8  4  length                   of what follows this field
//	12  4  partition leader epoch   set by Stamp, not in the CRC
//	16  1  magic                    2
//	17  4  CRC32C                   of byte 21 to the end
//	21  2  attributes               bits below
//	23  4  last offset delta        last offset - base offset
//	27  8  base timestamp           ms since epoch; records hold deltas to it
//	35  8  max timestamp            ms since epoch
//	43  8  producer id              -1: none
//	51  2  producer epoch           -1: none
//	53  4  base sequence            -1: none
//	57  4  count                    number of records
//	61  -  records                  as one compressed run if the codec is not None
const (
	offBaseOffset    = 0
	offLength        = 8
	offEpoch         = 12
	offMagic         = 16
	offCRC           = 17
	offAttributes    = 21
	offLastDelta     = 23
	offBaseTimestamp = 27
	offMaxTimestamp  = 35
	offProducerID    = 43
	offProducerEpoch = 51
	offBaseSequence  = 53
	offCount         = 57

	// HeaderSize is the size in bytes of a batch without its records.
	HeaderSize = 61

	magic = 2
)

// Attribute bits. Bits 7 to 15 are reserved and zero.
const (
	maskCodec         = 0x07
	bitLogAppendTime  = 0x08
	bitTransactional  = 0x10
	bitControl        = 0x20
	bitDeleteHorizon  = 0x40 // KIP-534: base timestamp is when tombstones may go
	maskReservedAttrs = ^int16(0x7f)
)

// NoProducer is the producer id, epoch and sequence of a batch without a producer.
const NoProducer = -1

var (
	// ErrCorrupt: length, CRC, counts or records contradict each other. Trying the
	// same bytes again cannot help.
	ErrCorrupt = fault.Lost(kerr.CorruptMessage, "corrupt record batch")
	// ErrChecksum is the ErrCorrupt of a batch that was damaged in transit: sending
	// it again helps.
	ErrChecksum = fault.Kind(ErrCorrupt, kerr.CorruptMessage, "checksum")
	// ErrTooLarge: the batch, or its decompressed size, exceeds the caller's limit.
	ErrTooLarge = fault.Refused(kerr.MessageTooLarge, "record batch too large")
	// ErrUnsupported: a message format or codec that Sluice does not support.
	ErrUnsupported = fault.Lost(kerr.UnsupportedForMessageFormat, "unsupported record format")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one record batch, header included. Its accessors require a Batch from
// Next, or one that passed Validate or Verify.
type Batch []byte

// Next returns the first batch of b and what follows it. It checks only what it
// needs to find the end: the magic and the length. A truncated batch is
// ErrCorrupt; in a fetch response, which may end in the middle of a batch, that
// marks the end.
func Next(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) <= offMagic {
		return nil, nil, fmt.Errorf("%w: %d bytes are too few for a batch", ErrCorrupt, len(b))
	}
	if b[offMagic] != magic {
		return nil, nil, unsupportedMagic(b[offMagic])
	}
	n := int64(int32(binary.BigEndian.Uint32(b[offLength:]))) + offEpoch
	if n < HeaderSize || n > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: its length says %d bytes, but there are %d", ErrCorrupt, n, len(b))
	}
	return Batch(b[:n:n]), b[n:], nil
}

func unsupportedMagic(m byte) error {
	return fmt.Errorf("%w: magic %d; use a client that writes message format v2 (Kafka 0.11 or newer)", ErrUnsupported, m)
}

// BaseOffset returns the offset of the batch's first record as produced.
func (b Batch) BaseOffset() int64 { return b.int64(offBaseOffset) }

// PartitionLeaderEpoch returns the leader epoch under which the batch was appended.
func (b Batch) PartitionLeaderEpoch() int32 { return b.int32(offEpoch) }

// CRC returns the stored CRC32C, which covers everything from the attributes on.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[offCRC:]) }

// Attributes returns the attribute bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[offAttributes:])) }

// Codec returns how the records are compressed. The codec may be unknown.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & maskCodec) }

// IsTransactional reports whether the batch is part of a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&bitTransactional != 0 }

// IsControl reports whether the batch holds a transaction marker instead of data.
func (b Batch) IsControl() bool { return b.Attributes()&bitControl != 0 }

// DeleteHorizon returns when the batch's tombstones may be removed, in ms since
// epoch; ok is false if compaction has not set it yet (KIP-534).
func (b Batch) DeleteHorizon() (ms int64, ok bool) {
	return b.BaseTimestamp(), b.Attributes()&bitDeleteHorizon != 0
}

// LogAppendTime reports whether all records carry the broker's time, which is then
// MaxTimestamp, instead of the producer's.
func (b Batch) LogAppendTime() bool { return b.Attributes()&bitLogAppendTime != 0 }

// LastOffsetDelta returns LastOffset minus BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return b.int32(offLastDelta) }

// LastOffset returns the last offset the batch occupies.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset returns the offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// BaseTimestamp returns the time in ms since epoch that record timestamps are relative to.
func (b Batch) BaseTimestamp() int64 { return b.int64(offBaseTimestamp) }

// MaxTimestamp returns the largest timestamp of the batch's records in ms since
// epoch, or -1. Before validation it is the producer's claim.
func (b Batch) MaxTimestamp() int64 { return b.int64(offMaxTimestamp) }

// ProducerID returns the id of the idempotent producer, or NoProducer.
func (b Batch) ProducerID() int64 { return b.int64(offProducerID) }

// ProducerEpoch returns the epoch of the idempotent producer, or NoProducer.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[offProducerEpoch:])) }

// BaseSequence returns the sequence number of the first record, or NoProducer.
func (b Batch) BaseSequence() int32 { return b.int32(offBaseSequence) }

// LastSequence returns the sequence number of the last record, or NoProducer.
// Sequence numbers wrap from MaxInt32 to 0.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base < 0 {
		return NoProducer
	}
	return int32((int64(base) + int64(b.LastOffsetDelta())) & math.MaxInt32)
}

// Count returns the number of records according to the header.
func (b Batch) Count() int32 { return b.int32(offCount) }

// Size returns the size in bytes, header included.
func (b Batch) Size() int { return len(b) }

// Stamp sets the base offset and leader epoch. The CRC does not cover these
// fields.
func (b Batch) Stamp(baseOffset int64, epoch int32) {
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[offEpoch:], uint32(epoch))
}

// SetLogAppendTime gives all records the timestamp ms, in ms since epoch
// (KIP-32), and recomputes the CRC.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(b.Attributes()|bitLogAppendTime))
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(ms))
	b.seal()
}

// SetCreateTime marks the records as carrying the producer's timestamps, the
// largest of which is ms since epoch. If the header already says so nothing is
// written, otherwise the CRC is recomputed.
func (b Batch) SetCreateTime(ms int64) {
	if !b.LogAppendTime() && b.MaxTimestamp() == ms {
		return
	}
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(b.Attributes()&^bitLogAppendTime))
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(ms))
	b.seal()
}

// seal recomputes the CRC.
func (b Batch) seal() { binary.BigEndian.PutUint32(b[offCRC:], b.checksum()) }

func (b Batch) checksum() uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }

func (b Batch) payload() []byte { return b[HeaderSize:] }

func (b Batch) int32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }

func (b Batch) int64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
