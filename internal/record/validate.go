package record

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Rules are what a topic asks of a produced batch. The zero value asks nothing.
type Rules struct {
	// MaxBytes is the largest batch, header included; 0 or less means no limit.
	MaxBytes int
	// MaxRecord is the largest record of a compressed batch, without the bytes of its length; 0
	// means no limit.
	MaxRecord int32
	// Keyed: a record without a key is ErrNoKey.
	Keyed bool
	// AppendTime: the broker gives all records its own time. The producer may not claim
	// to have done so, which is ErrTimestamp, and Oldest and Newest mean nothing.
	AppendTime bool
	// Records outside of Oldest to Newest, in ms since epoch, are ErrTimestamp, unless
	// they have no timestamp, which is -1. Both 0: any timestamp is taken.
	Oldest, Newest int64
}

// MaxUnpacked is what the records of a compressed batch may unpack to. A batch that
// unpacks to more is refused when produced, so that whoever looks inside it later can.
const MaxUnpacked = 64 << 20

// Validate judges a batch as a producer sent it: b is exactly one batch of format
// v2, within the rules, its base offset is 0, its CRC is right, its count, offsets and
// producer fields agree, and, when it is not compressed, its records are well formed, with
// offset deltas 0, 1, 2 and so on, and within the rules. Records that are compressed are
// left to ValidateCompressed.
//
// It returns the largest timestamp of the records that it looked at, -1 where none has
// one; the header's is not believed. It does not allocate unless it fails. Records that
// break a rule are returned as *RecordErrors, one that cannot be decoded as *RecordError.
func (b Batch) Validate(r Rules) (maxTimestamp int64, err error) {
	if len(b) >= HeaderSize && b.BaseOffset() != 0 {
		return -1, corrupt("base offset %d; a producer's batch begins at 0", b.BaseOffset())
	}
	if r.MaxBytes > 0 && len(b) > r.MaxBytes {
		return -1, fmt.Errorf("%w: %d bytes, the topic's max.message.bytes is %d", ErrTooLarge, len(b), r.MaxBytes)
	}
	if err := b.verifyFrame(); err != nil {
		return -1, err
	}
	if err := b.validateHeader(); err != nil {
		return -1, err
	}
	if b.Codec() != None {
		return -1, nil
	}
	r.MaxRecord = 0 // plain batches are bounded by MaxBytes
	return b.walk(b.payload(), r)
}

// ValidateCompressed unpacks the records of a batch that passed Validate, to
// maxUnpacked bytes at most, and looks at them as Validate looks at uncompressed ones.
// It takes of each codec only what all clients read. The batch must have a codec.
func (b Batch) ValidateCompressed(r Rules, maxUnpacked int) (maxTimestamp int64, err error) {
	buf, done := bufferFor(maxUnpacked)
	defer done()
	if err := b.Codec().decompressStrict(buf, b.payload(), maxUnpacked); err != nil {
		return -1, err
	}
	return b.walk(buf.b, r)
}

// Verify judges a batch that comes back from storage: b is exactly one batch, its
// CRC is right and its header makes sense. It allows what brokers write and
// producers may not: offsets that compaction left empty, and control batches.
func (b Batch) Verify() error {
	if err := b.verifyFrame(); err != nil {
		return err
	}
	last, count := b.LastOffsetDelta(), b.Count()
	switch base := b.BaseOffset(); {
	case base < 0 || base > math.MaxInt64-int64(math.MaxInt32)-1:
		return corrupt("base offset %d is out of range", base)
	case last < 0 || count < 0 || int64(count) > int64(last)+1:
		return corrupt("%d records cannot lie in offset deltas 0 to %d", count, last)
	}
	return nil
}

// verifyFrame checks length, magic, codec, reserved bits and CRC.
func (b Batch) verifyFrame() error {
	first, rest, err := Next(b)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return corrupt("%d bytes follow the batch of %d; send one batch for each partition", len(rest), len(first))
	}
	if got := b.checksum(); got != b.CRC() {
		return fmt.Errorf("%w: CRC32C is %08x, the header says %08x", ErrChecksum, got, b.CRC())
	}
	if c := b.Codec(); !c.Known() {
		return fmt.Errorf("%w: codec %d; use none, gzip, snappy, lz4 or zstd", ErrUnsupported, c)
	}
	if b.Attributes()&maskReservedAttrs != 0 {
		return fmt.Errorf("%w: attributes %#04x have bits of a later format", ErrUnsupported, uint16(b.Attributes()))
	}
	return nil
}

// validateHeader checks counts, offsets and producer fields of a produced batch.
func (b Batch) validateHeader() error {
	last, count := b.LastOffsetDelta(), b.Count()
	switch {
	case last < 0 || count <= 0 || int64(count) != int64(last)+1:
		return corrupt("%d records with last offset delta %d; a producer's batch has no gaps", count, last)
	case b.Attributes()&bitDeleteHorizon != 0:
		return corrupt("only compaction may set a delete horizon")
	case int64(count) > int64(len(b.payload())) && b.Codec() == None:
		return corrupt("%d records in %d bytes", count, len(b.payload()))
	}
	return b.validateProducer()
}

func (b Batch) validateProducer() error {
	id, epoch, sequence := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	switch {
	case id < NoProducer:
		return corrupt("producer id %d", id)
	case id == NoProducer && b.IsTransactional():
		return corrupt("transactional without a producer id")
	case id == NoProducer:
		return nil // epoch and sequence mean nothing
	case epoch < 0:
		return corrupt("producer %d with epoch %d", id, epoch)
	case sequence < 0 && !b.IsControl():
		return corrupt("producer %d with base sequence %d", id, sequence)
	}
	return nil
}

// walk checks that p is exactly the batch's records, with offset deltas 0, 1, 2..., and
// that they keep the rules.
func (b Batch) walk(p []byte, r Rules) (maxTimestamp int64, err error) {
	n, base, judge := b.Count(), b.BaseTimestamp(), newJudge(b, r)
	maxTimestamp = -1
	var broken *RecordErrors
	var f fields
	for i := range n {
		rest, err := f.cut(p)
		if err == nil {
			err = f.skipHeaders()
		}
		if err == nil && r.MaxRecord > 0 {
			err = recordSize(p[:len(p)-len(rest)], r.MaxRecord)
		}
		if err == nil && f.offsetDelta != i {
			err = corrupt("offset delta %d", f.offsetDelta)
		}
		if err != nil {
			return -1, &RecordError{i, n, err}
		}
		at := base + f.timestampDelta
		maxTimestamp = max(maxTimestamp, at)
		if judge.breaks(&f, at) {
			broken = broken.add(i, n, judge.why(&f, at))
		}
		p = rest
	}
	if len(p) > 0 {
		return -1, corrupt("%d bytes follow the %d records", len(p), n)
	}
	if broken != nil {
		return -1, broken
	}
	return maxTimestamp, nil
}

// recordSize checks the size of a whole record, with its length.
func recordSize(p []byte, most int32) error {
	if len(p) <= int(most) {
		return nil
	}
	if size, _ := varint32(p); size > most {
		return fmt.Errorf("%w: %d bytes, the topic's max.decompressed.message.bytes is %d", ErrRecordTooLarge, size, most)
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// varint reads a zigzag varint; n is 0 when b is cut short or the value overflows.
func varint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	return longVarint(b)
}

func longVarint(b []byte) (v int64, n int) {
	v, n = binary.Varint(b)
	return v, max(n, 0)
}

// varint32 is varint for the 32-bit fields: at most five bytes, as Kafka's clients
// read them, even where more would encode the same value.
func varint32(b []byte) (v int32, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int32(b[0]>>1) ^ -int32(b[0]&1), 1
	}
	return longVarint32(b)
}

func longVarint32(b []byte) (v int32, n int) {
	if len(b) > 1 && b[1] < 0x80 {
		u := uint32(b[0]&0x7f) | uint32(b[1])<<7
		return int32(u>>1) ^ -int32(u&1), 2
	}
	w, n := longVarint(b)
	if n > 5 || w != int64(int32(w)) {
		return 0, 0
	}
	return int32(w), n
}
