package record

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// shallow returns the result of Validate for b.
func shallow(b Batch, r Rules) error {
	_, err := b.Validate(r)
	return err
}

// deep returns the result of Validate for b, then of ValidateCompressed.
func deep(b Batch, r Rules, maxUnpacked int) error {
	_, err := judged(b, r, maxUnpacked)
	return err
}

// produced returns b as a producer would have sent it, with base offset 0.
func produced(b Batch) Batch {
	b = slices.Clone(b)
	put64(b, offBaseOffset, 0)
	return b
}

func judged(b Batch, r Rules, maxUnpacked int) (int64, error) {
	newest, err := b.Validate(r)
	if err == nil && b.Codec() != None {
		return b.ValidateCompressed(r, maxUnpacked)
	}
	return newest, err
}

// keyed returns a batch of records with the given timestamps; those in keyless have no key.
func keyed(t *testing.T, c Codec, times []int64, keyless ...int32) Batch {
	t.Helper()
	b := NewBuilder()
	b.Codec = c
	for i, at := range times {
		key := []byte("k")
		if slices.Contains(keyless, int32(i)) {
			key = nil
		}
		b.Add(at, key, []byte("v"))
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var everyCodec = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// Each record is checked, whatever the codec and the header, and each one that breaks a
// rule is reported.
func TestRulesOfRecords(t *testing.T) {
	window := Rules{Oldest: 100, Newest: 200}
	for _, x := range []struct {
		name    string
		rules   Rules
		times   []int64
		keyless []int32
		claimed bool
		want    error
		named   []int32
	}{
		{name: "no rules", times: []int64{-1, 5, 1 << 60}, keyless: []int32{1}},
		{name: "keys", rules: Rules{Keyed: true}, times: []int64{1, 2}},
		{name: "a key is missing", rules: Rules{Keyed: true}, times: []int64{1, 2, 3}, keyless: []int32{1}, want: ErrNoKey, named: []int32{1}},
		{name: "two keys are missing", rules: Rules{Keyed: true}, times: []int64{1, 2, 3}, keyless: []int32{0, 2}, want: ErrNoKey, named: []int32{0, 2}},
		{name: "on the edges", rules: window, times: []int64{100, 200}},
		{name: "no time is within any bounds", rules: window, times: []int64{-1, 150, -1}},
		{name: "one too old", rules: window, times: []int64{150, 99, 150}, want: ErrTimestamp, named: []int32{1}},
		{name: "one too new", rules: window, times: []int64{150, 150, 201}, want: ErrTimestamp, named: []int32{2}},
		{name: "all", rules: window, times: []int64{0, 300, -7}, want: ErrTimestamp, named: []int32{0, 1, 2}},
		{name: "of both kinds, the timestamp counts", rules: Rules{Keyed: true, Oldest: 100, Newest: 200}, times: []int64{150, 99}, keyless: []int32{0}, want: ErrTimestamp, named: []int32{0, 1}},
		{name: "the broker's time needs no bounds", rules: Rules{AppendTime: true, Oldest: 100, Newest: 200}, times: []int64{5, 500}},
		{name: "the broker's time is not the producer's to give", rules: Rules{AppendTime: true}, times: []int64{5, 6}, claimed: true, want: ErrTimestamp, named: []int32{0, 1}},
		{name: "the bit means nothing where the producer's time counts", rules: window, times: []int64{150}, claimed: true},
	} {
		for _, c := range everyCodec {
			b := keyed(t, c, x.times, x.keyless...)
			if x.claimed {
				put16(b, offAttributes, b.Attributes()|bitLogAppendTime)
			}
			put64(b, offMaxTimestamp, 150) // the header's value does not matter
			b.seal()
			newest, err := judged(b, x.rules, 1<<20)
			if !errors.Is(err, x.want) {
				t.Errorf("%s, %s: %v", x.name, c, err)
				continue
			}
			if x.want == nil {
				if want := max(-1, slices.Max(x.times)); newest != want {
					t.Errorf("%s, %s: newest timestamp %d, want %d", x.name, c, newest, want)
				}
				continue
			}
			var broken *RecordErrors
			if !errors.As(err, &broken) || broken.Total != len(x.named) {
				t.Errorf("%s, %s: %v", x.name, c, err)
				continue
			}
			var named []int32
			for _, r := range broken.Records {
				named = append(named, r.Index)
			}
			if !slices.Equal(named, x.named) {
				t.Errorf("%s, %s: reported %v", x.name, c, named)
			}
		}
	}
}

// A small batch with very many invalid records reports a bounded number of them.
func TestRecordErrorsAreBounded(t *testing.T) {
	b := keyed(t, Zstd, make([]int64, 3*MaxRecordErrors))
	var broken *RecordErrors
	err := deep(b, Rules{Oldest: 5, Newest: 6}, 1<<24)
	if !errors.As(err, &broken) || broken.Total != 3*MaxRecordErrors || len(broken.Records) != MaxRecordErrors {
		t.Fatalf("%v", err)
	}
}

func TestSetCreateTime(t *testing.T) {
	b := sample(t, None, 3, 10)
	same := slices.Clone(b)
	b.SetCreateTime(b.MaxTimestamp())
	if !slices.Equal(b, same) {
		t.Error("a header with the right timestamp is rewritten")
	}
	put16(b, offAttributes, bitLogAppendTime)
	put64(b, offMaxTimestamp, -1)
	b.seal()
	b.SetCreateTime(77)
	if err := b.Verify(); err != nil || b.LogAppendTime() || b.MaxTimestamp() != 77 {
		t.Errorf("%v, %v, %d", err, b.LogAppendTime(), b.MaxTimestamp())
	}
}

// A record of a compressed batch has its own size limit, which does not count its length
// field; a record of an uncompressed batch has none.
func TestRecordsOfCompressedBatchesAreBounded(t *testing.T) {
	for _, c := range everyCodec {
		b := NewBuilder()
		b.Codec = c
		b.Add(1, nil, []byte("a"))
		b.Add(1, nil, make([]byte, 200)) // 207 bytes: five for attributes, deltas, key and headers, two for the length of the value
		b.Add(1, nil, []byte("b"))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for most, refused := range map[int32]bool{0: false, 206: true, 207: false, 1: true, math.MaxInt32: false} {
			_, err := judged(produced(batch), Rules{MaxRecord: most}, MaxUnpacked)
			var one *RecordError
			switch {
			case !refused || c == None:
				if err != nil {
					t.Errorf("%s with at most %d: %v", c, most, err)
				}
			case !errors.Is(err, ErrRecordTooLarge) || !errors.As(err, &one) || most > 1 && one.Index != 1 || one.Count != 3:
				t.Errorf("%s with at most %d: %v", c, most, err)
			}
		}
	}
}
