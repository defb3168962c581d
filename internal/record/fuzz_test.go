package record

import (
	"bytes"
	"errors"
	"testing"
)

// known reports whether err is nil or one of the package's errors.
func known(err error) bool {
	return err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrUnsupported)
}

// FuzzBatch reads bytes as generated, then again with the CRC corrected.
func FuzzBatch(f *testing.F) {
	for _, c := range codecs {
		f.Add([]byte(sample(f, c, 3, 20)))
	}
	for _, s := range spoilt {
		b := sample(f, None, 3, 10)
		s.spoil(b)
		f.Add([]byte(b))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		check(t, data)
		if b, _, err := Next(data); err == nil {
			b.seal()
			check(t, b)
		}
	})
}

// check reads data in every way and compares the results.
func check(t *testing.T, data []byte) {
	b, rest, err := Next(data)
	if !known(err) {
		t.Fatalf("Next: %v", err)
	}
	if err != nil {
		if shallow(Batch(data), Rules{}) == nil || Batch(data).Verify() == nil {
			t.Fatal("valid without being a batch")
		}
		return
	}
	if len(b)+len(rest) != len(data) {
		t.Fatalf("a batch of %d bytes and a rest of %d do not add up to %d", len(b), len(rest), len(data))
	}
	outside, inside, stored := shallow(b, Rules{}), deep(b, Rules{}, 1<<20), b.Verify()
	if !known(outside) || !known(inside) || !known(stored) {
		t.Fatalf("%v, %v, %v", outside, inside, stored)
	}
	n := int32(0)
	var iterating error
	for _, err := range b.Records(1 << 20) {
		if iterating = err; err == nil {
			n++
		}
	}
	if !known(iterating) {
		t.Fatal(iterating)
	}
	if inside == nil && (iterating != nil || n != b.Count()) {
		t.Fatalf("validated, but %d of %d records, %v", n, b.Count(), iterating)
	}
	if outside != nil {
		return
	}
	b.Stamp(1<<40, 5)
	b.SetLogAppendTime(7)
	if err := b.Verify(); err != nil {
		t.Fatalf("after Stamp and SetLogAppendTime: %v", err)
	}
}

// FuzzRecords reads arbitrary bytes after the header, under each codec.
func FuzzRecords(f *testing.F) {
	for _, c := range codecs {
		f.Add(int8(c), int32(3), sample(f, c, 3, 20).payload())
	}
	for _, s := range spoiltRecords {
		f.Add(int8(None), int32(1), s.payload)
	}
	f.Add(int8(Snappy), int32(1), framed([]byte{12, 0, 0, 0, 1, 1, 0}, 3))
	f.Fuzz(func(t *testing.T, codec int8, n int32, payload []byte) {
		if codec < 0 || Codec(codec) > maskCodec || len(payload) > 1<<20 {
			return
		}
		check(t, around(Codec(codec), n, payload))
	})
}
