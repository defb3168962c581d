package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Filter removes records from batches during compaction. The remaining records
// keep their offsets, and the batch its position, producer, sequence numbers and
// codec (KAFKA-5443, KIP-534). The zero value keeps everything.
type Filter struct {
	// Keep reports whether a record stays; nil keeps all. The record is valid during
	// the call.
	Keep func(Record) bool
	// DeleteHorizonMs, if positive, is set in a batch that has none.
	DeleteHorizonMs int64
	// MaxUnpacked bounds the decompressed records of a batch.
	MaxUnpacked int

	records []byte
}

// Apply returns b with the remaining records, and their number. The result is b
// itself if nothing has changed, otherwise a copy. A batch without records is
// only a header.
func (f *Filter) Apply(b Batch) (out Batch, kept int, err error) {
	horizon, base := int64(0), b.BaseTimestamp()
	if _, has := b.DeleteHorizon(); !has && f.DeleteHorizonMs > 0 {
		horizon, base = f.DeleteHorizonMs, f.DeleteHorizonMs
	}
	f.records = f.records[:0]
	newest := int64(-1)
	for r, err := range b.Records(f.MaxUnpacked) {
		if err != nil {
			return nil, 0, fmt.Errorf("offset %d: %w", b.BaseOffset(), err)
		}
		if f.Keep != nil && !f.Keep(r) {
			continue
		}
		f.add(r, r.Timestamp-base, r.Offset-b.BaseOffset())
		newest = max(newest, r.Timestamp)
		kept++
	}
	if kept == int(b.Count()) && horizon == 0 {
		return b, kept, nil
	}
	out, err = b.with(f.records, kept, newest)
	if err == nil && horizon > 0 && kept > 0 {
		binary.BigEndian.PutUint16(out[offAttributes:], uint16(out.Attributes()|bitDeleteHorizon))
		binary.BigEndian.PutUint64(out[offBaseTimestamp:], uint64(horizon))
	}
	if err == nil {
		out.seal()
	}
	return out, kept, err
}

// growsTo is the size up to which the remaining records grow gradually.
const growsTo = 1 << 20

// add appends a record. Its length is known only once it is encoded, and is then
// moved in front of it.
func (f *Filter) add(r Record, timestampDelta, offsetDelta int64) {
	var length [binary.MaxVarintLen32]byte
	at := len(f.records)
	// Gradual growth would take more than twice the final size.
	if more := len(r.Key) + len(r.Value) + 64; at+more > growsTo && at+more > cap(f.records) {
		f.records = slices.Grow(f.records, max(f.MaxUnpacked-at, more))
	}
	f.records = appendFields(append(f.records, length[:]...), timestampDelta, offsetDelta, r.Key, r.Value, r.Headers)
	body := f.records[at+len(length):]
	n := binary.PutVarint(length[:], int64(len(body)))
	copy(f.records[at:], length[:n])
	copy(f.records[at+n:], body)
	f.records = f.records[:at+n+len(body)]
}

// with returns a copy of the header followed by other records, not sealed yet.
func (b Batch) with(records []byte, count int, maxTimestamp int64) (Batch, error) {
	codec := b.Codec()
	if count == 0 {
		codec = None
	}
	grown, err := codec.compress(append(make([]byte, 0, HeaderSize+s2.MaxEncodedLen(len(records))), b[:HeaderSize]...), records)
	if err != nil {
		return nil, err
	}
	if len(grown)-offEpoch > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(grown))
	}
	out, be := Batch(grown), binary.BigEndian
	be.PutUint32(out[offLength:], uint32(len(out)-offEpoch))
	be.PutUint16(out[offAttributes:], uint16(b.Attributes()&^maskCodec)|uint16(codec))
	be.PutUint64(out[offMaxTimestamp:], uint64(maxTimestamp))
	be.PutUint32(out[offCount:], uint32(count))
	return out, nil
}
