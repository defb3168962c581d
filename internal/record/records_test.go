package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// drawField draws null, empty or bytes.
func drawField(t *rapid.T, name string) []byte {
	if rapid.Bool().Draw(t, name+" is null") {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name)
}

func drawRecord(t *rapid.T) Record {
	r := Record{Timestamp: rapid.Int64().Draw(t, "timestamp"), Key: drawField(t, "key"), Value: drawField(t, "value")}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers = append(r.Headers, Header{[]byte(rapid.StringN(0, 20, -1).Draw(t, "header key")), drawField(t, "header value")})
	}
	return r
}

// collect returns clones of the records of b.
func collect(b Batch, limit int) ([]Record, error) {
	var out []Record
	for r, err := range b.Records(limit) {
		if err != nil {
			return out, err
		}
		out = append(out, r.Clone())
	}
	return out, nil
}

func TestBuiltBatchReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 20).Draw(t, "records")
		b := NewBuilder()
		b.Codec = rapid.SampledFrom(codecs).Draw(t, "codec")
		b.BaseOffset = rapid.Int64Range(0, 1<<60).Draw(t, "base offset")
		for i := range want {
			want[i].Offset = b.BaseOffset + int64(i)
			b.Add(want[i].Timestamp, want[i].Key, want[i].Value, want[i].Headers...)
		}
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(batch.Verify(), deep(produced(batch), Rules{}, 1<<20)); err != nil {
			t.Fatal(err)
		}
		got, err := collect(batch, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %v, want %v", b.Codec, got, want)
		}
	})
}

func TestDecompressionIsBounded(t *testing.T) {
	for _, c := range codecs[1:] {
		bomb := sample(t, c, 1, 32<<20)
		size := 32<<20 + 18 // including the record's framing
		if err := lastError(bomb, size-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: a limit one byte too low: %v", c, err)
		}
		if err := deep(bomb, Rules{}, 0); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: limit 0: %v", c, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := lastError(bomb, 1<<20); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", c, err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: %d bytes allocated to refuse an oversized batch at a limit of 1 MiB", c, n)
		}
	}
}

func TestExactLimitIsEnough(t *testing.T) {
	for _, c := range codecs {
		b := NewBuilder()
		b.Codec = c
		for i := range 100 {
			b.Add(int64(i), nil, fmt.Appendf(nil, "value %d", i))
		}
		if _, err := collect(build(t, b), len(b.records)); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestDamagedCompressionIsCorrupt(t *testing.T) {
	for _, c := range codecs[1:] {
		packed, err := c.compress(nil, bytes.Repeat([]byte("payload "), 100))
		if err != nil {
			t.Fatal(err)
		}
		for _, payload := range [][]byte{nil, {0xff}, packed[:len(packed)/2], bytes.Repeat([]byte{0xa5}, 100)} {
			if err := lastError(around(c, 1, payload), 1<<20); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s of %d bytes: %v", c, len(payload), err)
			}
		}
	}
	if err := lastError(around(6, 1, nil), 1<<20); !errors.Is(err, ErrUnsupported) {
		t.Errorf("codec 6: %v", err)
	}
}

// framed compresses src as snappy-java does, in blocks of the given size.
func framed(src []byte, block int) []byte {
	out := append([]byte(snappyJava), 0, 0, 0, 1, 0, 0, 0, 1)
	for len(src) > 0 {
		n := min(block, len(src))
		packed := s2.EncodeSnappy(nil, src[:n])
		out = binary.BigEndian.AppendUint32(out, uint32(len(packed)))
		out, src = append(out, packed...), src[n:]
	}
	return out
}

func TestSnappyJavaFraming(t *testing.T) {
	plain := sample(t, None, 50, 100).payload()
	half := len(plain) / 2
	for name, payload := range map[string][]byte{
		"one block":       framed(plain, 1<<20),
		"many blocks":     framed(plain, 1000),
		"chained streams": append(framed(plain[:half], 100), framed(plain[half:], 100)...),
	} {
		if err := lastError(around(Snappy, 50, payload), len(plain)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := lastError(around(Snappy, 50, payload), len(plain)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s above the limit: %v", name, err)
		}
		for cut := 1; cut < len(payload); cut += 7 {
			b := around(Snappy, 50, payload[:cut])
			if err := errors.Join(lastError(b, 1<<20), deep(b, Rules{}, 1<<20)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s truncated at %d: %v", name, cut, err)
			}
		}
	}
}

// Frames written in one piece declare their size, streamed ones do not; there may be
// several in a row.
func TestZstdFrames(t *testing.T) {
	plain := sample(t, None, 300, 1000).payload() // more than the initial buffer
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	streamed, err := Zstd.compress(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	half := len(plain) / 2
	for name, payload := range map[string][]byte{
		"streamed":   streamed,
		"one piece":  enc.EncodeAll(plain, nil),
		"two frames": enc.EncodeAll(plain[half:], enc.EncodeAll(plain[:half], nil)),
		"large window": func() []byte {
			w, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			return w.EncodeAll(plain, nil)
		}(),
	} {
		b := around(Zstd, 300, payload)
		if err := deep(b, Rules{}, len(plain)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := deep(b, Rules{}, len(plain)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s above the limit: %v", name, err)
		}
	}
}

// A batch with records removed by compaction keeps its offsets.
func TestRecordsWithGaps(t *testing.T) {
	b := around(None, 2, []byte{12, 0, 0, 2, 1, 1, 0, 12, 0, 0, 8, 1, 1, 0}) // deltas 1 and 4
	put32(b, offLastDelta, 5)
	b.Stamp(100, 0)
	b.seal()
	got, err := collect(b, 0)
	if err != nil || len(got) != 2 || got[0].Offset != 101 || got[1].Offset != 104 {
		t.Errorf("%v, %v", got, err)
	}
	if err := b.Verify(); err != nil {
		t.Error(err)
	}
	put32(b, offLastDelta, 3)
	if _, err := collect(b, 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a delta above the last: %v", err)
	}
}

func TestIterationStopsWhenAsked(t *testing.T) {
	for _, c := range codecs {
		n := 0
		for range sample(t, c, 10, 10).Records(1 << 20) {
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("%s: %d", c, n)
		}
	}
}

func TestIteratingDoesNotAllocateForEachRecord(t *testing.T) {
	b := NewBuilder()
	for i := range 1000 {
		b.Add(int64(i), []byte("key"), []byte("value"), Header{[]byte("a"), []byte("1")}, Header{[]byte("b"), nil})
	}
	batch := build(t, b)
	if n := testing.AllocsPerRun(10, func() {
		for _, err := range batch.Records(0) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}); n > 5 {
		t.Errorf("%v allocations for 1000 records", n)
	}
}

func BenchmarkRecords(b *testing.B) {
	for _, c := range codecs {
		batch := sample(b, c, 900, 1024)
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(900 * 1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := lastError(batch, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
