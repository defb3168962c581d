package e2e

import (
	"bytes"
	"compress/gzip"
	enc "encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/record"
)

// plainBatch returns an uncompressed batch of n records with values of size bytes.
func plainBatch(t *testing.T, n, size int) record.Batch {
	t.Helper()
	m := record.NewBuilder()
	for i := range n {
		m.Add(1_700_000_000_000, fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte("v"), size))
	}
	b, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// changed returns b with another codec and payload, modified by edit, and with a correct length and
// checksum.
func changed(b record.Batch, codec record.Codec, payload []byte, edit func(record.Batch)) record.Batch {
	out := append(bytes.Clone(b[:record.HeaderSize]), payload...)
	enc.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	enc.BigEndian.PutUint16(out[21:], uint16(codec))
	if edit != nil {
		edit(out)
	}
	enc.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// packed compresses p with the codec's own library.
func packed(t *testing.T, codec record.Codec, p []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case record.Gzip:
		w = gzip.NewWriter(&out)
	case record.LZ4:
		w = lz4.NewWriter(&out)
	case record.Snappy:
		return s2.EncodeSnappy(nil, p)
	default:
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// answer produces bad to partition 0 and sound to partition 1 in one request. It checks that sound
// is accepted and returns the response for partition 0.
func (w *wire) answer(t *testing.T, topic string, bad, sound record.Batch) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = produceVersion, -1, 60_000
	to := kmsg.NewProduceRequestTopic()
	to.Topic = topic
	for i, b := range []record.Batch{bad, sound} {
		part := kmsg.NewProduceRequestTopicPartition()
		part.Partition, part.Records = int32(i), b
		to.Partitions = append(to.Partitions, part)
	}
	req.Topics = append(req.Topics, to)
	w.frames, w.next = [][]byte{kmsg.NewRequestFormatter().AppendRequest(nil, req, 0)}, 0
	if err := w.send(); err != nil {
		t.Fatal(err)
	}
	w.resp.Topics = nil
	_ = w.receive() // the error codes are checked below and by the caller
	if len(w.resp.Topics) != 1 || len(w.resp.Topics[0].Partitions) != 2 {
		t.Fatalf("the answer is %+v", w.resp)
	}
	parts := w.resp.Topics[0].Partitions
	if parts[1].ErrorCode != 0 {
		t.Errorf("its neighbour is refused: %v", kerr.ErrorForCode(parts[1].ErrorCode))
	}
	return parts[0]
}

// Batches that a client could not decompress are refused when they are produced, with an error
// code that says whether to retry. The other batch in the request is accepted.
func TestBatchesThatDoNotUnpackAreRefused(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "bad", "--partitions", "2")
	w := b.dial()
	sound := plainBatch(t, 3, 20)
	plain := []byte(sound[record.HeaderSize:])
	count := func(n int) func(record.Batch) {
		return func(x record.Batch) {
			enc.BigEndian.PutUint32(x[23:], uint32(n-1))
			enc.BigEndian.PutUint32(x[57:], uint32(n))
		}
	}
	type bad struct {
		name   string
		batch  record.Batch
		code   *kerr.Error
		record int32 // the record reported as invalid, or -1
	}
	cases := []bad{
		{"codec 5", changed(sound, 5, plain, nil), kerr.UnsupportedCompressionType, -1},
		{"codec 7", changed(sound, 7, plain, nil), kerr.UnsupportedCompressionType, -1},
		{"two members of gzip", changed(sound, record.Gzip, append(packed(t, record.Gzip, plain[:50]), packed(t, record.Gzip, plain[50:])...), nil), kerr.InvalidRecord, -1},
		{"two frames of lz4", changed(sound, record.LZ4, append(packed(t, record.LZ4, plain[:50]), packed(t, record.LZ4, plain[50:])...), nil), kerr.InvalidRecord, -1},
		{"a control batch", changed(sound, 0x20, plain, nil), kerr.InvalidRecord, -1},
		{"a wrong checksum", func() record.Batch { x := bytes.Clone(sound); x[len(x)-1] ^= 1; return x }(), kerr.CorruptMessage, -1},
		{"bytes behind the records", changed(sound, 0, append(bytes.Clone(plain), 0), nil), kerr.InvalidRecord, -1},
		{"an offset delta that repeats", changed(sound, 0, append(bytes.Clone(plain[:len(plain)/3]), plain[:2*len(plain)/3]...), nil), kerr.InvalidRecord, 1},
	}
	for _, c := range []record.Codec{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		good := packed(t, c, plain)
		cases = append(cases,
			bad{c.String() + " that is not", changed(sound, c, plain, nil), kerr.InvalidRecord, -1},
			bad{c.String() + " cut short", changed(sound, c, good[:len(good)-1], nil), kerr.InvalidRecord, -1},
			bad{c.String() + " and a byte", changed(sound, c, append(bytes.Clone(good), 0), nil), kerr.InvalidRecord, -1},
			bad{c.String() + " with one record less", changed(sound, c, good, count(4)), kerr.InvalidRecord, 3},
			bad{c.String() + " with one record more", changed(sound, c, good, count(2)), kerr.InvalidRecord, -1},
			bad{c.String() + " with bytes behind the records", changed(sound, c, packed(t, c, append(bytes.Clone(plain), 0)), nil), kerr.InvalidRecord, -1})
	}
	for _, x := range cases {
		got := w.answer(t, "bad", x.batch, sound)
		if got.ErrorCode != x.code.Code {
			t.Errorf("%s: %v, want %v", x.name, kerr.ErrorForCode(got.ErrorCode), x.code)
		}
		if named := len(got.ErrorRecords) == 1 && got.ErrorRecords[0].RelativeOffset == x.record; named != (x.record >= 0) {
			t.Errorf("%s: it names records %+v", x.name, got.ErrorRecords)
		}
	}
	for _, c := range []record.Codec{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		if got := w.answer(t, "bad", changed(sound, c, packed(t, c, plain), nil), sound); got.ErrorCode != 0 {
			t.Errorf("sound %s: %v", c, kerr.ErrorForCode(got.ErrorCode))
		}
	}
}

// A small batch that decompresses to 256 MiB is refused without using that much memory. If the
// producer can split it, the code is MESSAGE_TOO_LARGE.
func TestBatchesThatUnpackToTooMuchAreRefused(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "bad", "--partitions", "2")
	w := b.dial()
	sound := plainBatch(t, 1, 20)
	for _, c := range []record.Codec{record.Gzip, record.Zstd} {
		for n, want := range map[int]*kerr.Error{1: kerr.InvalidRecord, 16: kerr.MessageTooLarge} {
			big := plainBatch(t, n, 256<<20/n)
			small := changed(big, c, packed(t, c, big[record.HeaderSize:]), nil)
			before := b.metric("process_resident_memory_bytes")
			for range 3 {
				if got := w.answer(t, "bad", small, sound); got.ErrorCode != want.Code {
					t.Errorf("%s of %d bytes and %d records: %v, want %v", c, len(small), n, kerr.ErrorForCode(got.ErrorCode), want)
				}
			}
			if grown := b.metric("process_resident_memory_bytes") - before; grown > 200<<20 {
				t.Errorf("%s: %.0f MiB to refuse it", c, grown/(1<<20))
			}
		}
	}
}
