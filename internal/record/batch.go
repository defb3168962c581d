package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Layout of the header, big endian:
//
//	 0 baseOffset            int64    stamped by the broker
//	 8 batchLength           int32    of what follows this field
//	12 partitionLeaderEpoch  int32    stamped by the broker
//	16 magic                 int8     2
//	17 crc                   uint32   CRC32C of all that follows this field
//	21 attributes            int16    bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	23 lastOffsetDelta       int32
//	27 baseTimestamp         int64    ms since epoch
//	35 maxTimestamp          int64
//	43 producerId            int64    -1 without idempotence
//	51 producerEpoch         int16
//	53 baseSequence          int32
//	57 count                 int32    of records
//	61 records               compressed as one block if the codec says so
const (
	offBase, offLength, offEpoch, offMagic, offCRC, offAttributes = 0, 8, 12, 16, 17, 21
	offLastDelta, offBaseTime, offMaxTime                         = 23, 27, 35
	offProducer, offProducerEpoch, offSequence, offCount          = 43, 51, 53, 57

	// HeaderSize is the length of a batch without records.
	HeaderSize = 61
	lengthEnd  = 12 // batchLength counts from here
)

const magic = 2

// The bits of attributes.
const (
	codecMask         = 0x07
	bitLogAppendTime  = 0x08
	bitTransactional  = 0x10
	bitControl        = 0x20
	bitDeleteHorizon  = 0x40
	attributesAllowed = codecMask | bitLogAppendTime | bitTransactional | bitControl | bitDeleteHorizon
)

var (
	// ErrCorrupt: the bytes are not a batch, or not the batch that was sent.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrTooLarge: the batch, or what it unpacks to, exceeds a limit.
	ErrTooLarge = errors.New("record batch too large")
	// ErrUnsupported: a format version or codec that is not supported.
	ErrUnsupported = errors.New("unsupported record batch format")
)

// Castagnoli is the polynomial of every checksum here; the standard library
// computes it in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one record batch. Its accessors need a batch that Next or Validate
// has accepted.
type Batch []byte

// Next splits the first batch off b. It checks the length only.
func Next(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) < HeaderSize {
		return nil, nil, fmt.Errorf("%w: %d bytes are no header", ErrCorrupt, len(b))
	}
	n := int64(int32(binary.BigEndian.Uint32(b[offLength:]))) + lengthEnd
	if m := b[offMagic]; m != magic {
		return nil, nil, fmt.Errorf("%w: magic %d, need %d", ErrUnsupported, int8(m), magic)
	}
	if n < HeaderSize || n > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: length %d of %d bytes", ErrCorrupt, n, len(b))
	}
	return Batch(b[:n:n]), b[n:], nil
}

func (b Batch) i16(at int) int16 { return int16(binary.BigEndian.Uint16(b[at:])) }
func (b Batch) i32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b Batch) i64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }

// BaseOffset returns the offset of the first record.
func (b Batch) BaseOffset() int64 { return b.i64(offBase) }

// PartitionLeaderEpoch returns the epoch of the leader that appended the batch.
func (b Batch) PartitionLeaderEpoch() int32 { return b.i32(offEpoch) }

// CRC returns the checksum in the header.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[offCRC:]) }

// Attributes returns the flags.
func (b Batch) Attributes() int16 { return b.i16(offAttributes) }

// Codec returns the compression of the records.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & codecMask) }

// LogAppendTime reports whether all records bear the broker's time (MaxTimestamp).
func (b Batch) LogAppendTime() bool { return b.Attributes()&bitLogAppendTime != 0 }

// IsTransactional reports whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&bitTransactional != 0 }

// IsControl reports whether the batch holds transaction markers.
func (b Batch) IsControl() bool { return b.Attributes()&bitControl != 0 }

// LastOffsetDelta returns the last record's offset less BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return b.i32(offLastDelta) }

// LastOffset returns the offset of the last record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset returns the offset after the last record's.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// BaseTimestamp returns the time that the records' timestamps are relative to, in ms.
func (b Batch) BaseTimestamp() int64 { return b.i64(offBaseTime) }

// MaxTimestamp returns the largest timestamp in ms.
func (b Batch) MaxTimestamp() int64 { return b.i64(offMaxTime) }

// ProducerID returns the idempotent producer's id, -1 for none.
func (b Batch) ProducerID() int64 { return b.i64(offProducer) }

// ProducerEpoch returns the epoch of the producer id.
func (b Batch) ProducerEpoch() int16 { return b.i16(offProducerEpoch) }

// BaseSequence returns the sequence number of the first record, -1 for none.
func (b Batch) BaseSequence() int32 { return b.i32(offSequence) }

// LastSequence returns the sequence number of the last record; sequence numbers
// wrap from MaxInt32 to 0.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() < 0 {
		return b.BaseSequence()
	}
	return int32((int64(b.BaseSequence()) + int64(b.LastOffsetDelta())) & 0x7fffffff)
}

// Count returns the number of records.
func (b Batch) Count() int32 { return b.i32(offCount) }

// Size returns the length in bytes.
func (b Batch) Size() int { return len(b) }

// Stamp gives the batch its place in the log. Both fields are outside the CRC.
func (b Batch) Stamp(baseOffset int64, epoch int32) {
	binary.BigEndian.PutUint64(b[offBase:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[offEpoch:], uint32(epoch))
}

// SetLogAppendTime makes all records bear ms and computes the CRC anew.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(b.Attributes()|bitLogAppendTime))
	binary.BigEndian.PutUint64(b[offMaxTime:], uint64(ms))
	b.seal()
}

// seal writes the CRC of what is there.
func (b Batch) seal() { binary.BigEndian.PutUint32(b[offCRC:], b.checksum()) }

func (b Batch) checksum() uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }
