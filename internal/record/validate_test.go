package record

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func put32(b Batch, at int, v int32) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }

func put64(b Batch, at int, v int64) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }

func put16(b Batch, at int, v int16) { binary.BigEndian.PutUint16(b[at:], uint16(v)) }

// spoilt lists changes to the header of a valid batch of three records, which is then
// sealed, and the results of Validate and Verify.
var spoilt = []struct {
	name             string
	spoil            func(b Batch)
	validate, verify error
}{
	{"untouched", func(Batch) {}, nil, nil},
	{"count above the deltas", func(b Batch) { put32(b, offCount, 4) }, ErrCorrupt, ErrCorrupt},
	{"count below the deltas", func(b Batch) { put32(b, offCount, 2) }, ErrCorrupt, nil}, // compaction does that
	{"no records", func(b Batch) { put32(b, offCount, 0) }, ErrCorrupt, nil},
	{"negative count", func(b Batch) { put32(b, offCount, -1) }, ErrCorrupt, ErrCorrupt},
	{"negative delta", func(b Batch) { put32(b, offLastDelta, -1) }, ErrCorrupt, ErrCorrupt},
	{"huge delta and count", func(b Batch) { put32(b, offLastDelta, math.MaxInt32); put32(b, offCount, math.MinInt32) }, ErrCorrupt, ErrCorrupt},
	{"more records than bytes", func(b Batch) { put32(b, offLastDelta, 999); put32(b, offCount, 1000) }, ErrCorrupt, nil},
	{"codec 5", func(b Batch) { put16(b, offAttributes, 5) }, ErrUnsupported, ErrUnsupported},
	{"codec 7", func(b Batch) { put16(b, offAttributes, 7) }, ErrUnsupported, ErrUnsupported},
	{"reserved bit 7", func(b Batch) { put16(b, offAttributes, 1<<7) }, ErrUnsupported, ErrUnsupported},
	{"reserved bit 15", func(b Batch) { put16(b, offAttributes, math.MinInt16) }, ErrUnsupported, ErrUnsupported},
	{"delete horizon", func(b Batch) { put16(b, offAttributes, bitDeleteHorizon) }, ErrCorrupt, nil},
	{"transactional without producer", func(b Batch) { put16(b, offAttributes, bitTransactional) }, ErrCorrupt, nil},
	{"producer id below -1", func(b Batch) { put64(b, offProducerID, -2) }, ErrCorrupt, nil},
	{"producer without epoch", func(b Batch) { put64(b, offProducerID, 1); put32(b, offBaseSequence, 0) }, ErrCorrupt, nil},
	{"producer without sequence", func(b Batch) { put64(b, offProducerID, 1); put16(b, offProducerEpoch, 0) }, ErrCorrupt, nil},
	{"producer", func(b Batch) { put64(b, offProducerID, 1); put16(b, offProducerEpoch, 0); put32(b, offBaseSequence, 0) }, nil, nil},
	{"marker of a transaction", func(b Batch) {
		put16(b, offAttributes, bitTransactional|bitControl)
		put64(b, offProducerID, 1)
		put16(b, offProducerEpoch, 0)
	}, nil, nil},
	{"epoch and sequence without producer", func(b Batch) { put16(b, offProducerEpoch, 0); put32(b, offBaseSequence, 0) }, nil, nil},
	{"base offset 1", func(b Batch) { put64(b, offBaseOffset, 1) }, ErrCorrupt, nil},
	{"negative base offset", func(b Batch) { put64(b, offBaseOffset, -1) }, ErrCorrupt, ErrCorrupt},
	{"base offset near the end", func(b Batch) { put64(b, offBaseOffset, math.MaxInt64-1) }, ErrCorrupt, ErrCorrupt},
}

func TestHeaderRules(t *testing.T) {
	for _, c := range spoilt {
		b := sample(t, None, 3, 10)
		c.spoil(b)
		b.seal()
		if err := shallow(b, Rules{}); !errors.Is(err, c.validate) {
			t.Errorf("%s: Validate says %v, want %v", c.name, err, c.validate)
		}
		if err := b.Verify(); !errors.Is(err, c.verify) {
			t.Errorf("%s: Verify says %v, want %v", c.name, err, c.verify)
		}
	}
}

func TestEveryFlippedBitAfterTheEpochIsFound(t *testing.T) {
	for _, c := range []Codec{None, Zstd} {
		b := sample(t, c, 3, 10)
		for at := offMagic; at < len(b); at++ {
			for bit := range 8 {
				b[at] ^= 1 << bit
				if shallow(b, Rules{}) == nil || b.Verify() == nil {
					t.Fatalf("%s: bit %d of byte %d", c, bit, at)
				}
				b[at] ^= 1 << bit
			}
		}
	}
}

func TestSizeLimit(t *testing.T) {
	b := sample(t, None, 3, 10)
	if err := shallow(b, Rules{MaxBytes: len(b)}); err != nil {
		t.Error(err)
	}
	if err := shallow(b, Rules{MaxBytes: len(b) - 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestOneBatchAtATime(t *testing.T) {
	b := append(sample(t, None, 3, 10), sample(t, None, 3, 10)...)
	if err := shallow(b, Rules{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("two batches: %v", err)
	}
}

// spoiltRecords lists payloads of one invalid record.
var spoiltRecords = []struct {
	name    string
	payload []byte
}{
	{"nothing", nil},
	{"negative length", []byte{0x01}},
	{"length zero", []byte{0x00}},
	{"length beyond the end", []byte{14, 0, 0, 0, 1, 1}},
	{"length short of the end", []byte{10, 0, 0, 0, 1, 1, 0}},
	{"length in six bytes", []byte{0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0}},
	{"length above 32 bits", []byte{0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 1, 1, 0}},
	{"endless varint", []byte{22, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	{"offset delta 1", []byte{12, 0, 0, 2, 1, 1, 0}},
	{"offset delta -1", []byte{12, 0, 0, 1, 1, 1, 0}},
	{"key length -2", []byte{12, 0, 0, 0, 3, 1, 0}},
	{"key beyond the record", []byte{12, 0, 0, 0, 8, 1, 0}},
	{"value beyond the record", []byte{12, 0, 0, 0, 1, 4, 0}},
	{"no header count", []byte{10, 0, 0, 0, 1, 1}},
	{"negative header count", []byte{12, 0, 0, 0, 1, 1, 1}},
	{"headers that are not there", []byte{12, 0, 0, 0, 1, 1, 2}},
	{"header with a null key", []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}},
	{"header key beyond the record", []byte{16, 0, 0, 0, 1, 1, 2, 6, 1}},
	{"header value beyond the record", []byte{16, 0, 0, 0, 1, 1, 2, 0, 2}},
	{"bytes behind the headers", []byte{14, 0, 0, 0, 1, 1, 0, 0}},
	{"bytes behind the record", []byte{12, 0, 0, 0, 1, 1, 0, 0}},
}

// around returns a sealed batch that declares n records in payload.
func around(c Codec, n int32, payload []byte) Batch {
	b := make(Batch, HeaderSize, HeaderSize+len(payload))
	b = append(b, payload...)
	b[offMagic] = magic
	put32(b, offLength, int32(len(b)-offEpoch))
	put16(b, offAttributes, int16(c))
	put32(b, offLastDelta, n-1)
	put64(b, offProducerID, NoProducer)
	put32(b, offCount, n)
	b.seal()
	return b
}

func TestRecordRules(t *testing.T) {
	if err := shallow(around(None, 1, []byte{12, 0, 0, 0, 1, 1, 0}), Rules{}); err != nil {
		t.Fatalf("the valid record that the others are derived from: %v", err)
	}
	for _, c := range spoiltRecords {
		if err := shallow(around(None, 1, c.payload), Rules{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Validate says %v", c.name, err)
		}
		for _, codec := range codecs {
			packed, err := codec.compress(nil, c.payload)
			if err != nil {
				t.Fatal(err)
			}
			b := around(codec, 1, packed)
			if err := deep(b, Rules{}, 1<<20); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s in %s: ValidateDeep says %v", c.name, codec, err)
			}
			if c.name != "offset delta 1" && !errors.Is(lastError(b, 1<<20), ErrCorrupt) {
				t.Errorf("%s in %s: Records yields no error", c.name, codec)
			}
		}
	}
}

// lastError iterates over b and returns the error it ends with.
func lastError(b Batch, limit int) (err error) {
	for _, err = range b.Records(limit) {
	}
	return err
}

func TestValidateDoesNotAllocate(t *testing.T) {
	b := sample(t, None, 100, 100)
	if n := testing.AllocsPerRun(10, func() {
		if shallow(b, Rules{MaxBytes: 1 << 20}) != nil || b.Verify() != nil {
			t.Error("invalid")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	for name, batch := range map[string]Batch{
		"100B-records":      sample(b, None, 8000, 100),
		"1KiB-records":      sample(b, None, 900, 1024),
		"1KiB-records-zstd": sample(b, Zstd, 900, 1024),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if err := shallow(batch, Rules{MaxBytes: 1 << 20}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
