package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Builder builds one batch of records with consecutive offsets. Set the fields,
// Add the records, Build. It is for tools and tests: the broker stores batches as
// they arrive. Not safe for concurrent use.
type Builder struct {
	BaseOffset    int64
	Epoch         int32
	Codec         Codec
	Transactional bool
	Control       bool
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32

	records []byte // encoded
	scratch []byte
	count   int32
	base    int64 // timestamps, ms
	max     int64
}

// NewBuilder returns a Builder of a batch without codec and producer, at offset 0.
func NewBuilder() *Builder {
	return &Builder{ProducerID: NoProducer, ProducerEpoch: NoProducer, BaseSequence: NoProducer}
}

// Add appends a record. A nil key or value is null; timestamp is in ms since
// epoch. It copies its arguments and returns b.
func (b *Builder) Add(timestamp int64, key, value []byte, headers ...Header) *Builder {
	if b.count == 0 {
		b.base, b.max = timestamp, timestamp
	}
	b.max = max(b.max, timestamp)
	b.scratch = appendFields(b.scratch[:0], timestamp-b.base, int64(b.count), key, value, headers)
	b.records = append(binary.AppendVarint(b.records, int64(len(b.scratch))), b.scratch...)
	b.count++
	return b
}

// appendFields encodes a record without its length.
func appendFields(dst []byte, timestampDelta, offsetDelta int64, key, value []byte, headers []Header) []byte {
	dst = append(dst, 0) // attributes
	dst = binary.AppendVarint(dst, timestampDelta)
	dst = binary.AppendVarint(dst, offsetDelta)
	dst = appendNullable(dst, key)
	dst = appendNullable(dst, value)
	dst = binary.AppendVarint(dst, int64(len(headers)))
	for _, h := range headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendNullable(dst, h.Value)
	}
	return dst
}

func appendNullable(dst, field []byte) []byte {
	if field == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(field))), field...)
}

// Len returns the number of records added.
func (b *Builder) Len() int { return int(b.count) }

// Build returns the batch. It fails without records, for an unknown codec, and
// above 2 GiB.
func (b *Builder) Build() (Batch, error) {
	if b.count == 0 {
		return nil, fmt.Errorf("%w: no records; add one first", ErrCorrupt)
	}
	out, err := b.Codec.compress(make([]byte, HeaderSize, HeaderSize+len(b.records)), b.records)
	if err != nil {
		return nil, err
	}
	if len(out)-offEpoch > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d bytes; split it into smaller batches", ErrTooLarge, len(out))
	}
	batch := Batch(out)
	b.putHeader(batch)
	batch.seal()
	return batch, nil
}

func (b *Builder) putHeader(batch Batch) {
	attributes := uint16(b.Codec)
	if b.Transactional {
		attributes |= bitTransactional
	}
	if b.Control {
		attributes |= bitControl
	}
	be := binary.BigEndian
	be.PutUint64(batch[offBaseOffset:], uint64(b.BaseOffset))
	be.PutUint32(batch[offLength:], uint32(len(batch)-offEpoch))
	be.PutUint32(batch[offEpoch:], uint32(b.Epoch))
	batch[offMagic] = magic
	be.PutUint16(batch[offAttributes:], attributes)
	be.PutUint32(batch[offLastDelta:], uint32(b.count-1))
	be.PutUint64(batch[offBaseTimestamp:], uint64(b.base))
	be.PutUint64(batch[offMaxTimestamp:], uint64(b.max))
	be.PutUint64(batch[offProducerID:], uint64(b.ProducerID))
	be.PutUint16(batch[offProducerEpoch:], uint16(b.ProducerEpoch))
	be.PutUint32(batch[offBaseSequence:], uint32(b.BaseSequence))
	be.PutUint32(batch[offCount:], uint32(b.count))
}

// compress appends the compressed src to dst.
func (c Codec) compress(dst, src []byte) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Snappy:
		if room := dst[len(dst):cap(dst)]; len(room) >= s2.MaxEncodedLen(len(src)) {
			return dst[:len(dst)+len(s2.EncodeSnappy(room, src))], nil
		}
		return append(dst, s2.EncodeSnappy(nil, src)...), nil
	case Zstd:
		w := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(w)
		return w.EncodeAll(src, dst), nil
	case Gzip, LZ4:
	default:
		return nil, fmt.Errorf("%w: %s; use none, gzip, snappy, lz4 or zstd", ErrUnsupported, c)
	}
	out := bytes.NewBuffer(dst)
	pool := &lz4Writers
	if c == Gzip {
		pool = &gzipWriters
	}
	w := pool.Get().(writer)
	defer pool.Put(w)
	w.Reset(out)
	_, err := w.Write(src)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress %d bytes as %s: %w", len(src), c, err)
	}
	return out.Bytes(), nil
}

// writer compresses a stream; Reset starts another.
type writer interface {
	io.WriteCloser
	Reset(io.Writer)
}
