package record

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Rules are a topic's requirements for a produced batch. The zero value requires
// nothing.
type Rules struct {
	// MaxBytes is the largest batch, header included; 0 or less means no limit.
	MaxBytes int
	// MaxRecord is the largest record of a compressed batch, without the bytes of its length; 0
	// means no limit.
	MaxRecord int32
	// Keyed: a record without a key is ErrNoKey.
	Keyed bool
	// AppendTime: the broker sets the timestamp of all records. A batch that claims
	// this already is ErrTimestamp, and Oldest and Newest are ignored.
	AppendTime bool
	// Records outside Oldest to Newest, in ms since epoch, are ErrTimestamp, unless
	// they have no timestamp (-1). Both 0: any timestamp is accepted.
	Oldest, Newest int64
}

// MaxUnpacked bounds the decompressed records of a batch. A batch that exceeds it
// is rejected when produced, so that later readers can decompress it.
const MaxUnpacked = 64 << 20

// Validate checks a batch as sent by a producer: b is exactly one batch of format
// v2, within the rules; its base offset is 0; its CRC is valid; its count,
// offsets and producer fields are consistent; and, if it is not compressed, its
// records are well-formed, with offset deltas 0, 1, 2 and so on, and within the
// rules. Compressed records are left to ValidateCompressed.
//
// It returns the largest timestamp of the records that it checked, or -1 if none
// has one; the header's is not trusted. It allocates only on failure. Records
// that break a rule are returned as *RecordErrors, one that cannot be decoded as
// *RecordError.
func (b Batch) Validate(r Rules) (maxTimestamp int64, err error) {
	if len(b) >= HeaderSize && b.BaseOffset() != 0 {
		return -1, corrupt("base offset %d; a producer's batch starts at 0", b.BaseOffset())
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

// ValidateCompressed decompresses the records of a batch that passed Validate, up
// to maxUnpacked bytes, and checks them as Validate checks uncompressed ones. It
// accepts only codec features that all clients can read. The batch must be
// compressed.
func (b Batch) ValidateCompressed(r Rules, maxUnpacked int) (maxTimestamp int64, err error) {
	buf, done := bufferFor(maxUnpacked)
	defer done()
	if err := b.Codec().decompressStrict(buf, b.payload(), maxUnpacked); err != nil {
		return -1, err
	}
	return b.walk(buf.b, r)
}

// Verify checks a batch read back from storage: b is exactly one batch, its CRC
// is valid and its header is consistent. It allows what brokers write and
// producers may not: gaps left by compaction, and control batches.
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
		return corrupt("%d bytes follow the batch of %d; send one batch per partition", len(rest), len(first))
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
		return nil // epoch and sequence are ignored
	case epoch < 0:
		return corrupt("producer %d with epoch %d", id, epoch)
	case sequence < 0 && !b.IsControl():
		return corrupt("producer %d with base sequence %d", id, sequence)
	}
	return nil
}

// walk checks that p is exactly the batch's records, with offset deltas 0, 1,
// 2..., and that they satisfy the rules.
func (b Batch) walk(p []byte, r Rules) (maxTimestamp int64, err error) {
	n, base, judge := b.Count(), b.BaseTimestamp(), newJudge(b, r)
	maxTimestamp = -1
	var broken *RecordErrors
	var f fields
	for i := range n {
		rest, err := f.next(p)
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

// varint reads a zigzag varint; n is 0 if b is truncated or the value overflows.
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

// varint32 is varint for 32-bit fields: at most five bytes, as Kafka's clients
// read them, even if more would encode the same value.
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
