package object

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/sluicemq/sluice/internal/meta"
)

// RangeReader reads parts of one stored object.
type RangeReader interface {
	// ReadRange returns exactly the n bytes from off on; the caller owns them.
	ReadRange(ctx context.Context, off, n int64) ([]byte, error)
}

// ReadFooter reads the index of an object of size bytes. It takes one request, or
// two if the footer is larger than 64 KiB.
func ReadFooter(ctx context.Context, src RangeReader, size int64) (*Footer, error) {
	if size < headerSize+footerFixedSize+trailerSize {
		return nil, corrupt("%d bytes are too few for an object", size)
	}
	n := min(size, suffixBytes)
	tail, err := read(ctx, src, size-n, n)
	if err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	t, err := decodeTrailer(tail[n-trailerSize:], size)
	if err != nil {
		return nil, err
	}
	if missing := t.length + trailerSize - n; missing > 0 {
		head, err := read(ctx, src, size-n-missing, missing)
		if err != nil {
			return nil, fmt.Errorf("read footer: %w", err)
		}
		tail = append(head, tail...)
	}
	tail = tail[int64(len(tail))-trailerSize-t.length:]
	if got := crc32.Checksum(tail[:t.length+8], castagnoli); got != t.crc {
		return nil, corrupt("the footer's CRC is %08x, the trailer says %08x", got, t.crc)
	}
	return decodeFooter(tail[:t.length], t.version, size-trailerSize-t.length)
}

// ReadSection reads a section whose location is known, in one request.
func ReadSection(ctx context.Context, src RangeReader, s Section) ([]byte, error) {
	b, err := read(ctx, src, s.Offset, s.Length)
	if err != nil {
		return nil, fmt.Errorf("read section: %w", err)
	}
	return b, s.Verify(b)
}

type trailer struct {
	length  int64 // of the footer
	crc     uint32
	version uint16
}

func decodeTrailer(b []byte, size int64) (trailer, error) {
	if string(b[12:]) != trailerMagic {
		return trailer{}, corrupt("it does not end in %q; it is truncated or not a Sluice object", trailerMagic)
	}
	be := binary.BigEndian
	if err := checkVersion(be.Uint16(b[4:]), be.Uint16(b[6:]), withSections); err != nil {
		return trailer{}, err
	}
	t := trailer{length: int64(be.Uint32(b)), crc: be.Uint32(b[8:]), version: be.Uint16(b[4:])}
	if t.length > MaxFooterBytes || t.length > size-trailerSize-headerSize {
		return t, corrupt("a footer of %d bytes in an object of %d", t.length, size)
	}
	return t, nil
}

// header is the start of an object.
type header struct {
	id        meta.ObjectID
	createdMs int64
}

func (h header) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, headerMagic...)
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	dst = append(dst, h.id[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.createdMs))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func decodeHeader(b []byte) (header, error) {
	be := binary.BigEndian
	if len(b) < headerSize || string(b[:8]) != headerMagic {
		return header{}, corrupt("it does not start with %q", headerMagic)
	}
	if err := checkVersion(be.Uint16(b[8:]), be.Uint16(b[10:]), version); err != nil {
		return header{}, err
	}
	if got, want := crc32.Checksum(b[:36], castagnoli), be.Uint32(b[36:]); got != want {
		return header{}, corrupt("the header's CRC is %08x, it says %08x", got, want)
	}
	return header{meta.ObjectID(b[12:28]), int64(be.Uint64(b[28:]))}, nil
}

// read is ReadRange, but verifies the length of the result.
func read(ctx context.Context, src RangeReader, off, n int64) ([]byte, error) {
	b, err := src.ReadRange(ctx, off, n)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != n {
		return nil, fmt.Errorf("%w: %d of %d bytes at %d", errShort, len(b), n, off)
	}
	return b, nil
}
