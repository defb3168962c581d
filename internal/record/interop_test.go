package record

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// This package reads what franz-go encodes and compresses.
func TestReadsBatchesOfFranzGo(t *testing.T) {
	for codec, how := range map[Codec]kgo.CompressionCodec{None: kgo.NoCompression(), Gzip: kgo.GzipCompression(),
		Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression()} {
		records := theirRecords(200)
		if compressor, err := kgo.DefaultCompressor(how); err != nil {
			t.Fatal(err)
		} else if compressor != nil {
			records, _ = compressor.Compress(new(bytes.Buffer), records)
		}
		theirs := kmsg.RecordBatch{FirstOffset: 1234, PartitionLeaderEpoch: 9, Magic: 2, Attributes: int16(codec) | bitTransactional,
			LastOffsetDelta: 199, FirstTimestamp: 5000, MaxTimestamp: 6990, ProducerID: 77, ProducerEpoch: 3,
			FirstSequence: 50, NumRecords: 200, Records: records}
		theirs.Length = int32(HeaderSize + len(records) - offEpoch)
		b := Batch(theirs.AppendTo(nil))
		b.seal()
		if err := deep(produced(b), Rules{MaxBytes: 1 << 20}, 1<<20); err != nil {
			t.Errorf("%s: %v", codec, err)
			continue
		}
		want := Info{BaseOffset: 1234, LastOffset: 1433, LeaderEpoch: 9, Count: 200, Bytes: len(b), Codec: codec.String(),
			CRC: fmt.Sprintf("%08x", b.CRC()), BaseTimestamp: 5000, MaxTimestamp: 6990, Transactional: true,
			ProducerID: 77, ProducerEpoch: 3, BaseSequence: 50}
		if got := b.Info(); got != want || b.LastSequence() != 249 {
			t.Errorf("%s: got %+v, want %+v", codec, got, want)
		}
		got, err := collect(b, 1<<20)
		if err != nil || len(got) != 200 {
			t.Fatalf("%s: %d records, %v", codec, len(got), err)
		}
		for i, r := range got {
			if r.Offset != 1234+int64(i) || r.Timestamp != 5000+int64(i)*10 || string(r.Key) != fmt.Sprintf("k%d", i) ||
				len(r.Value) != i || len(r.Headers) != 1 || string(r.Headers[0].Key) != "h" {
				t.Fatalf("%s: record %d is %v", codec, i, r)
			}
		}
	}
}

// theirRecords returns n records as encoded by franz-go.
func theirRecords(n int32) (records []byte) {
	for i := range n {
		r := kmsg.Record{TimestampDelta64: int64(i) * 10, OffsetDelta: i, Key: fmt.Appendf(nil, "k%d", i),
			Value: bytes.Repeat([]byte{byte(i)}, int(i)), Headers: []kmsg.Header{{Key: "h", Value: []byte("v")}}}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // the varint of length 0 takes one byte
		records = r.AppendTo(records)
	}
	return records
}

// franz-go reads what the Builder builds.
func TestFranzGoReadsBuiltBatches(t *testing.T) {
	for _, codec := range codecs {
		b := NewBuilder()
		b.Codec, b.BaseOffset, b.Epoch, b.ProducerID, b.ProducerEpoch, b.BaseSequence = codec, 40, 2, 5, 1, 8
		for i := range 100 {
			b.Add(1000+int64(i), nil, fmt.Appendf(nil, "value %d", i), Header{[]byte("a"), nil})
		}
		batch := build(t, b)
		var theirs kmsg.RecordBatch
		if err := theirs.ReadFrom(batch); err != nil {
			t.Fatalf("%s: %v", codec, err)
		}
		if theirs.FirstOffset != 40 || theirs.PartitionLeaderEpoch != 2 || theirs.NumRecords != 100 || theirs.LastOffsetDelta != 99 ||
			uint32(theirs.CRC) != batch.CRC() || theirs.ProducerID != 5 || theirs.ProducerEpoch != 1 || theirs.FirstSequence != 8 ||
			theirs.FirstTimestamp != 1000 || theirs.MaxTimestamp != 1099 {
			t.Errorf("%s: %+v", codec, theirs)
		}
		plain, err := kgo.DefaultDecompressor().Decompress(theirs.Records, kgo.CompressionCodecType(codec))
		if err != nil {
			t.Fatalf("%s: %v", codec, err)
		}
		for i := range int32(100) {
			var f fields
			rest, err := f.next(plain)
			if err != nil {
				t.Fatal(err)
			}
			var r kmsg.Record
			if err := r.ReadFrom(plain[:len(plain)-len(rest)]); err != nil {
				t.Fatalf("%s: record %d: %v", codec, i, err)
			}
			if r.OffsetDelta != i || r.TimestampDelta64 != int64(i) || r.Key != nil || string(r.Value) != fmt.Sprintf("value %d", i) ||
				!bytes.Equal(r.Value, f.value) || len(r.Headers) != 1 || r.Headers[0].Key != "a" || r.Headers[0].Value != nil {
				t.Fatalf("%s: record %d is %+v", codec, i, r)
			}
			plain = rest
		}
	}
}
