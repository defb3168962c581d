package record

import (
	"fmt"
	"iter"
	"slices"
)

// Record is one record of a batch. A null key or value is nil, an empty one is not.
type Record struct {
	Offset    int64
	Timestamp int64 // ms since epoch
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Header is one header of a record. Keys are text and may repeat; a null value is nil.
type Header struct {
	Key   []byte
	Value []byte
}

// Clone returns a copy that shares no memory with r.
func (r Record) Clone() Record {
	r.Key, r.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	r.Headers = append([]Header(nil), r.Headers...)
	for i, h := range r.Headers {
		r.Headers[i] = Header{slices.Clone(h.Key), slices.Clone(h.Value)}
	}
	return r
}

// Records iterates over the records in offset order. An error is yielded once, as
// the last pair: ErrCorrupt, ErrUnsupported for the codec, or ErrTooLarge when the
// records of a compressed batch decompress to more than maxBytes.
//
// The slices of a Record are valid until the loop body ends; take a Clone to keep
// one. Iterating does not allocate for each record.
func (b Batch) Records(maxBytes int) iter.Seq2[Record, error] { return b.records(maxBytes, false) }

// SoundRecords is Records for callers that want all records of a batch or none: an error
// is yielded instead of the first record, never after one.
func (b Batch) SoundRecords(maxBytes int) iter.Seq2[Record, error] { return b.records(maxBytes, true) }

func (b Batch) records(maxBytes int, check bool) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		p := b.payload()
		if c := b.Codec(); c != None {
			buf := getBuffer()
			defer putBuffer(buf)
			if err := c.decompress(buf, p, maxBytes); err != nil {
				yield(Record{}, err)
				return
			}
			p = buf.b
		}
		if check {
			if err := b.sound(p); err != nil {
				yield(Record{}, err)
				return
			}
		}
		b.each(p, yield)
	}
}

// sound returns the error that each would yield.
func (b Batch) sound(p []byte) (failed error) {
	b.each(p, func(_ Record, err error) bool {
		failed = err
		return true
	})
	return failed
}

// each yields the records in p, which is decompressed.
func (b Batch) each(p []byte, yield func(Record, error) bool) {
	n, last, previous := b.Count(), b.LastOffsetDelta(), int32(-1)
	base, baseTimestamp, appendTime := b.BaseOffset(), b.BaseTimestamp(), b.LogAppendTime()
	var r Record
	var f fields
	for i := range n {
		rest, err := f.next(p)
		if err == nil {
			r.Headers, err = f.appendHeaders(r.Headers[:0])
		}
		if err == nil && (f.offsetDelta <= previous || f.offsetDelta > last) {
			err = corrupt("offset delta %d after %d, the last is %d", f.offsetDelta, previous, last)
		}
		if err != nil {
			yield(Record{}, fmt.Errorf("record %d of %d: %w", i, n, err))
			return
		}
		r.Offset, r.Timestamp = base+int64(f.offsetDelta), baseTimestamp+f.timestampDelta
		if appendTime {
			r.Timestamp = b.MaxTimestamp()
		}
		r.Key, r.Value = f.key, f.value
		if !yield(r, nil) {
			return
		}
		p, previous = rest, f.offsetDelta
	}
	if len(p) > 0 {
		yield(Record{}, corrupt("%d bytes follow the %d records", len(p), n))
	}
}

// fields is one record as encoded in a batch:
//
//	length           varint   of what follows
//	attributes       1 byte   unused
//	timestamp delta  varlong  to the base timestamp
//	offset delta     varint   to the base offset
//	key              varint length (-1: null) and bytes
//	value            varint length (-1: null) and bytes
//	header count     varint
//	headers          each: key, value as above; the key is never null
//
// Varints are zigzag, as in protobuf.
type fields struct {
	timestampDelta int64
	offsetDelta    int32
	headerCount    int32
	key, value     []byte
	headers        []byte // all of them, still encoded
}

// next decodes the first record of p and returns what follows it.
func (f *fields) next(p []byte) (rest []byte, err error) {
	size, n := varint32(p)
	if n == 0 || size < 1 || int(size) > len(p)-n {
		return nil, corrupt("a record of length %d in %d bytes", size, len(p)-n)
	}
	b, rest := p[n+1:n+int(size)], p[n+int(size):] // without the attributes
	if f.timestampDelta, n = varint(b); n == 0 {
		return nil, corrupt("timestamp delta")
	}
	b = b[n:]
	if f.offsetDelta, n = varint32(b); n == 0 {
		return nil, corrupt("offset delta")
	}
	b = b[n:]
	var ok bool
	if f.key, b, ok = nullable(b); !ok {
		return nil, corrupt("key length")
	}
	if f.value, b, ok = nullable(b); !ok {
		return nil, corrupt("value length")
	}
	// A header takes at least two bytes, so the remaining bytes bound the count.
	if f.headerCount, n = varint32(b); n == 0 || f.headerCount < 0 || int(f.headerCount) > (len(b)-n)/2 {
		return nil, corrupt("%d headers in %d bytes", f.headerCount, len(b))
	}
	f.headers = b[n:]
	return rest, nil
}

// nullable reads a varint length, -1 for null, and that many bytes.
func nullable(b []byte) (field, rest []byte, ok bool) {
	size, n := varint32(b)
	switch {
	case n == 0 || size < -1 || int(size) > len(b)-n:
		return nil, nil, false
	case size == -1:
		return nil, b[n:], true
	}
	end := n + int(size)
	return b[n:end:end], b[end:], true
}

// skipHeaders checks the headers without decoding them.
func (f *fields) skipHeaders() error {
	if f.headerCount == 0 && len(f.headers) == 0 {
		return nil
	}
	_, err := f.eachHeader(nil, false)
	return err
}

// appendHeaders decodes the headers and appends them to dst.
func (f *fields) appendHeaders(dst []Header) ([]Header, error) { return f.eachHeader(dst, true) }

func (f *fields) eachHeader(dst []Header, keep bool) ([]Header, error) {
	b := f.headers
	for i := range f.headerCount {
		key, rest, ok := nullable(b)
		if !ok || key == nil {
			return dst, corrupt("key of header %d", i)
		}
		var value []byte
		if value, b, ok = nullable(rest); !ok {
			return dst, corrupt("value of header %d", i)
		}
		if keep {
			dst = append(dst, Header{key, value})
		}
	}
	if len(b) > 0 {
		return dst, corrupt("%d bytes follow the headers", len(b))
	}
	return dst, nil
}
