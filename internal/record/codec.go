package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"weak"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is the compression of a batch's records; the numbers are those of the
// attribute bits.
type Codec int8

// The known codecs.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2 // raw, or in the framing of snappy-java
	LZ4    Codec = 3 // LZ4 frames
	Zstd   Codec = 4 // KIP-110
)

// Known reports whether the codec is known.
func (c Codec) Known() bool { return c >= None && c <= Zstd }

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", int8(c))
}

// maxWindow is the largest zstd window accepted: that of level 22, the highest.
// It is not allocated, since frames are decompressed in one piece.
const maxWindow = 128 << 20

// maxPooled is the largest buffer that is kept for reuse.
const maxPooled = 8 << 20

// buffer holds the decompressed records of a batch.
type buffer struct{ b []byte }

var (
	buffers     = sync.Pool{New: func() any { return new(buffer) }}
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstdReaders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow),
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic("record: zstd refuses its options: " + err.Error())
		}
		return d
	}}
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	lz4Writers  = sync.Pool{New: func() any {
		w := lz4.NewWriter(nil)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil { // otherwise 4 MiB, several times
			panic("record: lz4 refuses its options: " + err.Error())
		}
		return w
	}}
	zstdWriters = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("record: zstd refuses its options: " + err.Error())
		}
		return e
	}}
)

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if cap(b.b) <= maxPooled {
		buffers.Put(b)
	}
}

// bufferFor returns a buffer for up to limit decompressed bytes. A large buffer
// has its full size from the start, since growing it would take twice as much.
// One such buffer is kept until the garbage collector runs: a sync.Pool would
// keep one per processor, for two cycles.
func bufferFor(limit int) (b *buffer, done func()) {
	if limit <= maxPooled {
		b = getBuffer()
		return b, func() { putBuffer(b) }
	}
	if b = spare.swap(weak.Pointer[buffer]{}).Value(); b == nil {
		b = new(buffer)
	}
	if cap(b.b) < limit+zstdSlack {
		b.b = nil // let go before allocating
		b.b = make([]byte, 0, limit+zstdSlack)
	}
	return b, func() { spare.swap(weak.Make(b)) }
}

// spare is an unused large buffer.
var spare slot

type slot struct {
	mu sync.Mutex
	p  weak.Pointer[buffer]
}

// swap stores p and returns the previous value.
func (s *slot) swap(p weak.Pointer[buffer]) (was weak.Pointer[buffer]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, s.p = s.p, p
	return was
}

// decompress decompresses src into dst, replacing its content. More than limit
// bytes are ErrTooLarge and are not decompressed.
func (c Codec) decompress(dst *buffer, src []byte, limit int) error {
	return c.unpack(dst, src, limit, true)
}

// decompressStrict is decompress, but refuses what some client refuses.
func (c Codec) decompressStrict(dst *buffer, src []byte, limit int) error {
	if err := c.strict(src); err != nil {
		return err
	}
	return c.unpack(dst, src, limit, false)
}

// unpack accepts a gzip stream of several members only if chained.
func (c Codec) unpack(dst *buffer, src []byte, limit int, chained bool) error {
	var err error
	dst.b, limit = dst.b[:0], min(max(limit, 0), math.MaxInt32)
	switch c {
	case Gzip:
		err = dst.gunzip(src, limit, chained)
	case Snappy:
		err = dst.unsnappy(src, limit)
	case LZ4:
		err = dst.unlz4(src, limit)
	case Zstd:
		err = dst.unzstd(src, limit)
	default:
		return fmt.Errorf("%w: %s; use none, gzip, snappy, lz4 or zstd", ErrUnsupported, c)
	}
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: its records do not decompress as %s: %w", ErrCorrupt, c, err)
	}
	return err
}

func unpacksAbove(limit int) error {
	return fmt.Errorf("%w: it decompresses to more than %d bytes", ErrTooLarge, limit)
}

func (d *buffer) gunzip(src []byte, limit int, chained bool) error {
	r := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(r)
	in := bytes.NewReader(src)
	defer in.Reset(nil) // the pool must not keep our bytes
	if err := r.Reset(in); err != nil {
		return err
	}
	r.Multistream(chained)
	if err := d.readAll(r, len(src), limit); err != nil {
		return err
	}
	if in.Len() > 0 {
		return fmt.Errorf("%d bytes follow the first member", in.Len())
	}
	return nil
}

func (d *buffer) unlz4(src []byte, limit int) error {
	r := lz4Readers.Get().(*lz4.Reader)
	defer lz4Readers.Put(r)
	r.Reset(bytes.NewReader(src))
	defer r.Reset(nil) // releases its block
	return d.readAll(r, len(src), limit)
}

// readAll reads r to its end. One byte beyond the limit shows that it is
// exceeded.
func (d *buffer) readAll(r io.Reader, packed, limit int) error {
	d.reserve(min(4*packed, limit) + 1)
	for {
		n, err := r.Read(d.b[len(d.b):min(cap(d.b), limit+1)])
		d.b = d.b[:len(d.b)+n]
		switch {
		case len(d.b) > limit:
			return unpacksAbove(limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(d.b) == cap(d.b):
			d.reserve(min(cap(d.b), limit+1-len(d.b)))
		}
	}
}

// reserve makes space for n more bytes.
func (d *buffer) reserve(n int) {
	if cap(d.b)-len(d.b) < n {
		d.b = append(make([]byte, 0, len(d.b)+n), d.b...)
	}
}

// snappyJava starts the framing of snappy-java: this magic, two versions of four
// bytes each, then blocks, each preceded by its length in four bytes, big-endian.
const (
	snappyJava       = "\x82SNAPPY\x00"
	snappyJavaHeader = len(snappyJava) + 8
)

var errSnappyFrame = errors.New("a snappy-java block is truncated")

func (d *buffer) unsnappy(src []byte, limit int) error {
	if !bytes.HasPrefix(src, []byte(snappyJava)) {
		return d.snappyBlock(src, limit)
	}
	for len(src) > 0 {
		if bytes.HasPrefix(src, []byte(snappyJava)) { // streams may be chained
			if len(src) < snappyJavaHeader {
				return errSnappyFrame
			}
			src = src[snappyJavaHeader:]
			continue
		}
		if len(src) < 4 {
			return errSnappyFrame
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return errSnappyFrame
		}
		if err := d.snappyBlock(src[:n], limit); err != nil {
			return err
		}
		src = src[n:]
	}
	return nil
}

// snappyBlock appends the decompressed block.
func (d *buffer) snappyBlock(block []byte, limit int) error {
	n, err := s2.DecodedLen(block)
	if err != nil {
		return err
	}
	if n > limit-len(d.b) {
		return unpacksAbove(limit)
	}
	// Three bytes of snappy produce at most 64. No memory is allocated merely
	// because a length of a few bytes claims it.
	if n/32 > len(block) {
		return fmt.Errorf("%d bytes cannot hold %d", len(block), n)
	}
	if cap(d.b)-len(d.b) < n {
		d.reserve(min(max(n, len(d.b)), limit-len(d.b)))
	}
	out, err := s2.Decode(d.b[len(d.b):len(d.b)+n], block)
	if err != nil {
		return err
	}
	d.b = d.b[:len(d.b)+len(out)]
	return nil
}

// zstdSlack is space for one more block plus what the decoder writes beyond one.
// A decoder that runs out of space only reports a damaged block; with this much
// left, it did not run out.
const zstdSlack = 128<<10 + 64

// unzstd decompresses all frames at once, so that no window is allocated. If the
// frames do not declare their size, it retries with twice the space.
func (d *buffer) unzstd(src []byte, limit int) error {
	r := zstdReaders.Get().(*zstd.Decoder)
	defer zstdReaders.Put(r)
	most := limit + zstdSlack
	for room := zstdRoom(src, most); ; room = min(2*cap(d.b), most) {
		d.reserve(room)
		dst := d.b[:0:min(cap(d.b), most)]
		out, err := r.DecodeAll(src, dst)
		short := errors.Is(err, zstd.ErrDecoderSizeExceeded) || err != nil && cap(dst)-len(out) < zstdSlack
		switch {
		case len(out) > limit, short && cap(dst) == most:
			return unpacksAbove(limit)
		case short:
			continue
		case err != nil:
			return err
		}
		d.b = out
		return nil
	}
}

// zstdRoom is the declared size of the first frame, or a guess, at most most.
func zstdRoom(src []byte, most int) int {
	var h zstd.Header
	if err := h.Decode(src); err == nil && h.HasFCS && h.FrameContentSize <= maxPooled {
		return min(int(h.FrameContentSize)+zstdSlack, most)
	}
	return min(max(4*len(src), zstdSlack), most)
}
