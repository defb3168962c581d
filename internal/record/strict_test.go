package record

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func gzipped(t testing.TB, p []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func lz4ed(t testing.TB, p []byte, options ...lz4.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(options...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, p []byte, options ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(p, nil)
}

// flavour is one way to compress 300 records.
type flavour struct {
	name    string
	codec   Codec
	payload []byte
	sound   bool
}

func flavours(t testing.TB) []flavour {
	plain := sample(t, None, 300, 1000).payload()
	one, two := plain[:len(plain)/2], plain[len(plain)/2:]
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	set := func(p []byte, at int, v byte) []byte { p = bytes.Clone(p); p[at] = v; return p }
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	frame := lz4ed(t, plain)
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0} // 256 MiB, and an empty block
	return []flavour{
		{"gzip", Gzip, gzipped(t, plain), true},
		{"gzip of two members", Gzip, cat(gzipped(t, one), gzipped(t, two)), false},
		{"gzip and a byte", Gzip, append(gzipped(t, plain), 0), false},
		{"gzip without its trailer", Gzip, gzipped(t, plain)[:100], false},
		{"gzip with a wrong checksum", Gzip, func() []byte { p := gzipped(t, plain); p[len(p)-6] ^= 1; return p }(), false},
		{"plain as gzip", Gzip, plain, false},
		{"raw snappy", Snappy, s2.EncodeSnappy(nil, plain), true},
		{"snappy-java", Snappy, framed(plain, 32<<10), true},
		{"snappy-java of another version", Snappy, set(framed(plain, 32<<10), 15, 2), false},
		{"two streams of snappy-java", Snappy, cat(framed(one, 1000), framed(two, 1000)), false},
		{"snappy-java with an empty block", Snappy, append(framed(plain, 1000), 0, 0, 0, 0), false},
		{"snappy and a byte", Snappy, append(s2.EncodeSnappy(nil, plain), 0), false},
		{"S2", Snappy, s2.EncodeBest(nil, bytes.Repeat(plain[:100], 30)), false},
		{"lz4", LZ4, frame, true},
		{"lz4 of 64 KiB blocks with all checksums and its size", LZ4, lz4ed(t, plain, lz4.BlockSizeOption(lz4.Block64Kb),
			lz4.BlockChecksumOption(true), lz4.ChecksumOption(true), lz4.SizeOption(uint64(len(plain)))), true},
		{"lz4 without checksums", LZ4, lz4ed(t, plain, lz4.ChecksumOption(false)), true},
		{"two lz4 frames", LZ4, cat(lz4ed(t, one), lz4ed(t, two)), false},
		{"lz4 and a skippable frame", LZ4, cat(frame, skippable), false},
		{"a skippable frame and lz4", LZ4, cat(skippable, frame), false},
		{"lz4 and a byte", LZ4, append(bytes.Clone(frame), 0), false},
		{"lz4 cut short", LZ4, frame[:len(frame)-1], false},
		{"legacy lz4", LZ4, lz4ed(t, plain, lz4.LegacyOption(true)), false},
		{"linked lz4 blocks", LZ4, linked(frame), false},
		{"lz4 with a dictionary", LZ4, set(frame, 4, frame[4]|1), false},
		{"zstd", Zstd, zstded(t, plain), true},
		{"zstd in a window of 64 MiB", Zstd, zstded(t, plain, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false)), true},
		{"two zstd frames", Zstd, cat(zstded(t, one), zstded(t, two)), true},
		{"zstd in a window of 256 MiB", Zstd, cat(window, zstded(t, plain)), false},
		{"a skippable frame and zstd", Zstd, cat(skippable, zstded(t, plain)), false},
		{"zstd and a byte", Zstd, append(zstded(t, plain), 0), false},
		{"zstd and three bytes", Zstd, append(zstded(t, plain), 0x28, 0xb5, 0x2f), false},
		{"zstd cut short", Zstd, func() []byte { p := zstded(t, plain); return p[:len(p)-1] }(), false},
		{"plain as zstd", Zstd, plain, false},
		{"records and a byte", Zstd, zstded(t, append(bytes.Clone(plain), 0)), false},
		{"records without the last byte", Zstd, zstded(t, plain[:len(plain)-1]), false},
		{"half of the records", LZ4, lz4ed(t, one), false},
		{"nothing", Gzip, gzipped(t, nil), false},
	}
}

// linked returns a frame whose descriptor declares linked blocks, with the descriptor's
// checksum corrected.
func linked(frame []byte) []byte {
	frame = bytes.Clone(frame)
	frame[4] &^= lz4Independent
	frame[6] = byte(xxh32(frame[4:6]) >> 8)
	return frame
}

// xxh32 returns the XXH32 of two bytes, with seed 0.
func xxh32(p []byte) uint32 {
	const prime1, prime2, prime3, prime5 = 2654435761, 2246822519, 3266489917, 374761393
	h := uint32(prime5) + uint32(len(p))
	for _, b := range p {
		h += uint32(b) * prime5
		h = (h<<11 | h>>21) * prime1
	}
	h = (h ^ h>>15) * prime2
	h = (h ^ h>>13) * prime3
	return h ^ h>>16
}

func TestRefusesWhatTheStrictestClientRefuses(t *testing.T) {
	for _, f := range flavours(t) {
		b := around(f.codec, 300, f.payload)
		err := deep(b, Rules{}, 1<<20)
		if f.sound && err != nil || !f.sound && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", f.name, err)
		}
		if errors.Is(err, ErrChecksum) {
			t.Errorf("%s is reported as damaged in transit", f.name)
		}
	}
}

// If the count does not match the records, the error names the record.
func TestWrongRecordsInACompressedBatch(t *testing.T) {
	plain := sample(t, None, 3, 20).payload()
	size := len(plain) / 3
	for _, c := range codecs {
		for name, x := range map[string]struct {
			n       int32
			records []byte
			index   int32
		}{
			"one less":          {4, plain, 3},
			"twice the first":   {3, bytes.Join([][]byte{plain[:size], plain[:2*size]}, nil), 1},
			"a negative length": {3, append(bytes.Clone(plain[:2*size]), 1), 2},
			"a long varint":     {3, append(bytes.Clone(plain[:2*size]), 0x80, 0x80, 0x80, 0x80, 0x80, 0), 2},
		} {
			payload, err := c.compress(nil, x.records)
			if err != nil {
				t.Fatal(err)
			}
			var bad *RecordError
			if err := deep(around(c, x.n, payload), Rules{}, 1<<20); !errors.As(err, &bad) || bad.Index != x.index || bad.Count != x.n || !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
	}
}

func TestOnlyAWrongChecksumIsDamage(t *testing.T) {
	b := sample(t, Zstd, 3, 20)
	b[len(b)-1] ^= 1
	if err := deep(b, Rules{}, 1<<20); !errors.Is(err, ErrChecksum) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("a flipped bit: %v", err)
	}
}

func TestSoundRecordsGiveAllOrNothing(t *testing.T) {
	plain := sample(t, None, 3, 20).payload()
	for _, c := range codecs {
		packed, err := c.compress(nil, plain[:len(plain)-1])
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range around(c, 3, packed).SoundRecords(1 << 20) {
			if n++; err == nil {
				t.Errorf("%s: a record of an invalid batch was yielded", c)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d errors", c, n)
		}
		n = 0
		for _, err := range sample(t, c, 3, 20).SoundRecords(1 << 20) {
			if n++; err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
		if n != 3 {
			t.Errorf("%s: %d records", c, n)
		}
	}
}

// FuzzCodec feeds bytes to the decoder of each codec, which must finish within its memory
// limit, whatever the bytes declare.
func FuzzCodec(f *testing.F) {
	for _, x := range flavours(f) {
		f.Add(int8(x.codec), x.payload)
	}
	for _, claim := range []uint64{1 << 20, 1 << 31, 1<<32 - 1} {
		f.Add(int8(Snappy), binary.AppendUvarint(nil, claim))
	}
	f.Fuzz(func(t *testing.T, codec int8, payload []byte) {
		c := Codec(codec)
		if !c.Known() || c == None || len(payload) > 64<<10 {
			return
		}
		const limit = 1 << 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		strict, lenient := new(buffer), new(buffer)
		err := c.decompressStrict(strict, payload, limit)
		if !known(err) {
			t.Fatal(err)
		}
		if other := c.decompress(lenient, payload, limit); err == nil && (other != nil || !bytes.Equal(strict.b, lenient.b)) {
			t.Fatalf("strict accepts what lenient refuses: %v", other)
		}
		runtime.ReadMemStats(&after)
		if len(strict.b) > limit && err == nil {
			t.Fatalf("%d bytes above a limit of %d", len(strict.b), limit)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Fatalf("%d bytes allocated", n)
		}
	})
}

func BenchmarkValidateCompressed(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, c := range codecs {
			m := NewBuilder()
			m.Codec = c
			for i := range 900_000 / size {
				m.Add(1, nil, fmt.Appendf(nil, "%0*x", size-10, uint64(i)*0x9e3779b97f4a7c15))
			}
			batch, err := m.Build()
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", c, size), func(b *testing.B) {
				b.SetBytes(900_000)
				b.ReportAllocs()
				for b.Loop() {
					if err := deep(batch, Rules{}, MaxUnpacked); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
