package record

import (
	"encoding/binary"
	"fmt"
)

// Limits bound what Validate accepts.
type Limits struct {
	MaxBytes int // of the whole batch; 0 means no limit
}

// Validate checks that b is exactly one batch as a producer may send it:
// lengths, version, codec, CRC, counts, sequence fields; and, when it is not
// compressed, that its records fill it exactly with offset deltas 0, 1, 2...
// Records inside a compressed batch are not unpacked: the CRC covers them, and
// every reader unpacks under a limit of its own.
func (b Batch) Validate(l Limits) error {
	if l.MaxBytes > 0 && len(b) > l.MaxBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, len(b), l.MaxBytes)
	}
	got, rest, err := Next(b)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes follow the batch", ErrCorrupt, len(rest))
	}
	if sum := got.checksum(); sum != got.CRC() {
		return fmt.Errorf("%w: CRC is %08x, header says %08x", ErrCorrupt, sum, got.CRC())
	}
	if err := got.header(); err != nil {
		return err
	}
	if got.Codec() == None {
		return got.walk()
	}
	return nil
}

// header checks the fields against each other.
func (b Batch) header() error {
	switch {
	case b.Attributes()&^attributesAllowed != 0:
		return fmt.Errorf("%w: attributes %#x", ErrCorrupt, b.Attributes())
	case b.Codec() > Zstd:
		return fmt.Errorf("%w: codec %d", ErrUnsupported, b.Codec())
	case b.Count() < 1 || b.LastOffsetDelta() != b.Count()-1:
		return fmt.Errorf("%w: %d records, last offset delta %d", ErrCorrupt, b.Count(), b.LastOffsetDelta())
	case b.ProducerID() < -1 || b.ProducerID() >= 0 && (b.ProducerEpoch() < 0 || b.BaseSequence() < 0):
		return fmt.Errorf("%w: producer id %d with epoch %d and sequence %d", ErrCorrupt, b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	case b.ProducerID() == -1 && (b.BaseSequence() != -1 || b.IsTransactional()):
		return fmt.Errorf("%w: sequence %d without a producer id", ErrCorrupt, b.BaseSequence())
	}
	return nil
}

// walk checks the frame of every record without looking into it further than
// its offset delta.
func (b Batch) walk() error {
	rest := b[HeaderSize:]
	for i := range b.Count() {
		n, w := binary.Varint(rest)
		if w <= 0 || n < minRecord || n > int64(len(rest)-w) {
			return fmt.Errorf("%w: record %d has length %d of %d bytes", ErrCorrupt, i, n, len(rest))
		}
		body := rest[w : w+int(n)]
		rest = rest[w+int(n):]
		_, w = binary.Varint(body[1:])
		if w <= 0 {
			return fmt.Errorf("%w: record %d has no timestamp", ErrCorrupt, i)
		}
		if d, w := binary.Varint(body[1+w:]); w <= 0 || d != int64(i) {
			return fmt.Errorf("%w: record %d has offset delta %d", ErrCorrupt, i, d)
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes follow the last record", ErrCorrupt, len(rest))
	}
	return nil
}

// minRecord is the shortest record body: attributes, two deltas, key, value,
// header count.
const minRecord = 6
