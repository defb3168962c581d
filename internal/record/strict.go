package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Client libraries differ in what they accept of a codec. Whatever the strictest of them
// rejects, or reads only part of, is rejected at produce:
//
//	gzip    more than one member, or bytes after it
//	snappy  S2 extensions; a second stream in snappy-java framing
//	lz4     linked blocks, dictionaries, reserved bits, legacy or skippable frames,
//	        a second frame, or bytes after the first
//	zstd    skippable frames; windows above maxWindow, which the decoder rejects
//
// strict checks the framing of src without decompressing it; gzip is checked during
// decompression.
func (c Codec) strict(src []byte) error {
	var err error
	switch c {
	case Snappy:
		err = strictSnappy(src)
	case LZ4:
		err = strictLZ4(src)
	case Zstd:
		if len(src) >= 4 && binary.LittleEndian.Uint32(src)&^0xf == 0x184d2a50 {
			err = errors.New("a skippable frame")
		}
	}
	if err != nil {
		return corrupt("its records are not %s as all clients read it: %v", c, err)
	}
	return nil
}

func strictSnappy(src []byte) error {
	if !bytes.HasPrefix(src, []byte(snappyJava)) {
		return strictSnappyBlock(src)
	}
	if len(src) < snappyJavaHeader {
		return errSnappyFrame
	}
	// The second number is the oldest version that can read it; only one version exists.
	if v := binary.BigEndian.Uint32(src[len(snappyJava)+4:]); v != 1 {
		return fmt.Errorf("snappy-java's framing in version %d", v)
	}
	for src = src[snappyJavaHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return errSnappyFrame
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) { // the magic of a second stream reads as such a length
			return errSnappyFrame
		}
		if err := strictSnappyBlock(src[:n]); err != nil {
			return err
		}
		src = src[n:]
	}
	return nil
}

var errSnappyBlock = errors.New("an element of a block is cut short")

// strictSnappyBlock finds copies with offset 0, which S2 uses to repeat the previous
// offset. The decoder, which reads both formats, checks the rest.
func strictSnappyBlock(b []byte) error {
	_, n := binary.Uvarint(b)
	if n <= 0 {
		return errSnappyBlock
	}
	for b = b[n:]; len(b) > 0; {
		size, offset, ok := snappyElement(b)
		switch {
		case !ok || size > len(b):
			return errSnappyBlock
		case offset == 0:
			return errors.New("a block of S2")
		}
		b = b[size:]
	}
	return nil
}

// snappyElement returns the size of the first element of b, and the offset of a copy, or
// -1 for a literal.
func snappyElement(b []byte) (size, offset int, ok bool) {
	switch tag := b[0]; tag & 3 {
	case 0:
		n := int(tag >> 2)
		if n < 60 {
			return n + 2, -1, true
		}
		width := n - 59
		if len(b) <= width {
			return 0, 0, false
		}
		var le [4]byte
		copy(le[:], b[1:1+width])
		return int(binary.LittleEndian.Uint32(le[:])) + 2 + width, -1, true
	case 1:
		if len(b) < 2 {
			return 0, 0, false
		}
		return 2, int(tag>>5)<<8 | int(b[1]), true
	case 2:
		if len(b) < 3 {
			return 0, 0, false
		}
		return 3, int(binary.LittleEndian.Uint16(b[1:])), true
	default:
		if len(b) < 5 {
			return 0, 0, false
		}
		return 5, int(binary.LittleEndian.Uint32(b[1:])), true
	}
}

// Flags of the first byte of an LZ4 frame's descriptor.
const (
	lz4Magic           = 0x184d2204
	lz4Version         = 0x40
	lz4VersionMask     = 0xc0
	lz4Independent     = 0x20
	lz4BlockChecksum   = 0x10
	lz4ContentSize     = 0x08
	lz4ContentChecksum = 0x04
	lz4Reserved        = 0x03 // one of the two is the dictionary flag
)

var errLZ4Truncated = errors.New("the frame is cut short")

// strictLZ4 accepts exactly one frame of independent blocks, with nothing after it. The
// decoder verifies the checksums.
func strictLZ4(src []byte) error {
	if len(src) < 7 {
		return errLZ4Truncated
	}
	flags, descriptor := src[4], src[5]
	switch size := descriptor >> 4; {
	case binary.LittleEndian.Uint32(src) != lz4Magic:
		return errors.New("a frame of another kind")
	case flags&lz4VersionMask != lz4Version || flags&lz4Reserved != 0 || descriptor&0x8f != 0:
		return errors.New("the frame has flags that are not known")
	case flags&lz4Independent == 0:
		return errors.New("the blocks are linked")
	case size < 4:
		return fmt.Errorf("blocks of size %d", size)
	}
	at, check := 7, 0
	if flags&lz4ContentSize != 0 {
		at += 8
	}
	if flags&lz4BlockChecksum != 0 {
		check = 4
	}
	most := 1 << (8 + 2*(descriptor>>4)) // 64 KiB to 4 MiB
	for {
		if len(src) < at+4 {
			return errLZ4Truncated
		}
		n := int(binary.LittleEndian.Uint32(src[at:]) &^ (1 << 31)) // the top bit marks an uncompressed block
		if at += 4; n == 0 {
			break
		}
		if n > most {
			return fmt.Errorf("a block of %d bytes", n)
		}
		at += n + check
	}
	if flags&lz4ContentChecksum != 0 {
		at += 4
	}
	if at != len(src) {
		return fmt.Errorf("the frame has %d bytes of %d", at, len(src))
	}
	return nil
}
