package record

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
)

// codecs lists all codecs.
var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// sample returns a batch of n records with values of the given size.
func sample(t testing.TB, c Codec, n, value int) Batch {
	t.Helper()
	b := NewBuilder()
	b.Codec = c
	for i := range n {
		b.Add(1_700_000_000_000+int64(i), fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte{byte('a' + i%26)}, value))
	}
	return build(t, b)
}

func build(t testing.TB, b *Builder) Batch {
	t.Helper()
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func TestAccessors(t *testing.T) {
	b := NewBuilder()
	b.BaseOffset, b.Epoch, b.Codec = 1<<40, 7, Zstd
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = 1<<33, 12, 99, true
	b.Add(1000, []byte("a"), nil).Add(500, nil, []byte("b")).Add(3000, nil, nil)
	got := build(t, b).Info()
	want := Info{BaseOffset: 1 << 40, LastOffset: 1<<40 + 2, LeaderEpoch: 7, Count: 3, Bytes: got.Bytes, Codec: "zstd",
		CRC: got.CRC, BaseTimestamp: 1000, MaxTimestamp: 3000, Transactional: true,
		ProducerID: 1 << 33, ProducerEpoch: 12, BaseSequence: 99}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNextSplitsBatches(t *testing.T) {
	one, two := sample(t, None, 3, 10), sample(t, Gzip, 5, 10)
	all := append(bytes.Clone(one), two...)
	first, rest, err := Next(all)
	if err != nil || !bytes.Equal(first, one) {
		t.Fatalf("first: %v", err)
	}
	second, rest, err := Next(rest)
	if err != nil || !bytes.Equal(second, two) || len(rest) != 0 {
		t.Fatalf("second: %v, %d bytes left", err, len(rest))
	}
	_ = append(first, 0xee) // must not write into the next batch
	if !bytes.Equal(all[len(one):], two) {
		t.Error("appending to a batch overwrote the next one")
	}
	for n := range len(one) {
		if _, _, err := Next(one[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(one), err)
		}
	}
}

func TestOldFormatsAreUnsupported(t *testing.T) {
	for _, m := range []byte{0, 1, 3, 0xff} {
		b := sample(t, None, 1, 1)
		b[offMagic] = m
		if _, _, err := Next(b); !errors.Is(err, ErrUnsupported) {
			t.Errorf("magic %d: Next says %v", m, err)
		}
		if err := shallow(b, Rules{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("magic %d: Validate says %v", m, err)
		}
	}
}

func TestStampKeepsTheCRCValid(t *testing.T) {
	b := sample(t, Snappy, 10, 10)
	b.Stamp(1<<50, 77)
	if b.BaseOffset() != 1<<50 || b.PartitionLeaderEpoch() != 77 || b.LastOffset() != 1<<50+9 || b.NextOffset() != 1<<50+10 {
		t.Errorf("%+v", b.Info())
	}
	if err := errors.Join(shallow(produced(b), Rules{}), b.Verify()); err != nil {
		t.Error(err)
	}
}

func TestLogAppendTimeAppliesToEveryRecord(t *testing.T) {
	for _, c := range codecs {
		b := sample(t, c, 3, 10)
		b.SetLogAppendTime(42)
		if !b.LogAppendTime() || b.MaxTimestamp() != 42 || b.Codec() != c {
			t.Errorf("%s: %+v", c, b.Info())
		}
		if err := b.Verify(); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil || r.Timestamp != 42 {
				t.Errorf("%s: record at %d, %v", c, r.Timestamp, err)
			}
		}
	}
}

func TestLastSequenceWraps(t *testing.T) {
	for _, c := range []struct {
		base int32
		n    int
		want int32
	}{
		{0, 1, 0}, {5, 3, 7}, {math.MaxInt32, 1, math.MaxInt32}, {math.MaxInt32, 2, 0}, {math.MaxInt32 - 1, 4, 1}, {-1, 3, -1},
	} {
		b := sample(t, None, c.n, 0)
		put32(b, offBaseSequence, c.base)
		if got := b.LastSequence(); got != c.want {
			t.Errorf("%d records from %d end at %d, want %d", c.n, c.base, got, c.want)
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	if _, err := NewBuilder().Build(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no records: %v", err)
	}
	b := NewBuilder().Add(0, nil, nil)
	b.Codec = 5
	if _, err := b.Build(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("codec 5: %v", err)
	}
}
