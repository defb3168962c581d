package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// header is the request header, before the body.
type header struct {
	key, version  int16
	correlationID int32
	clientID      string
}

// fixedHeader is the part shared by all header versions: key, version, correlation id.
const fixedHeader = 8

// readFixed reads the length of the next frame and its fixed header. size is the rest of the
// frame.
func readFixed(r io.Reader, scratch *[4 + fixedHeader]byte) (h header, size int, err error) {
	if _, err = io.ReadFull(r, scratch[:]); err != nil {
		return h, 0, err
	}
	n := int32(binary.BigEndian.Uint32(scratch[:]))
	if n < fixedHeader {
		return h, 0, fmt.Errorf("%w: frame of %d bytes", errMalformed, n)
	}
	h.key = int16(binary.BigEndian.Uint16(scratch[4:]))
	h.version = int16(binary.BigEndian.Uint16(scratch[6:]))
	h.correlationID = int32(binary.BigEndian.Uint32(scratch[8:]))
	return h, int(n) - fixedHeader, nil
}

// finish parses the rest of the header from the front of b and returns the body.
func (h *header) finish(b []byte, flexible bool) (body []byte, err error) {
	w := walker{rest: b}
	n := w.classic(2)
	if w.bad {
		return nil, fmt.Errorf("%w: client id", errMalformed)
	}
	h.clientID = string(w.rest[:n])
	w.skip(n)
	if flexible {
		w.tags()
	}
	if w.bad {
		return nil, fmt.Errorf("%w: header tags", errMalformed)
	}
	return w.rest, nil
}

// appendHeader starts a response: space for its length, correlation id and tags. ApiVersions
// responses never have tags, since the client does not know the broker's versions yet
// (KIP-511).
func appendHeader(dst []byte, key int16, correlationID int32, flexible bool) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if flexible && key != kmsg.ApiVersions.Int16() {
		dst = append(dst, 0)
	}
	return dst
}

// frames is a pool of frame buffers in four sizes per power of two, so that at most a quarter
// more than requested is held. The garbage collector frees unused ones.
type frames struct {
	classes [classes]sync.Pool
}

const (
	minFrame = 1 << 10 // the smallest buffer
	classes  = 4*17 + 1
	maxFrame = minFrame << 17 // 128 MiB; larger frames are allocated each time
)

// frameClass returns the size class for n bytes and its buffer size. Class classes-1 is the
// largest; above it size is n and there is no class.
func frameClass(n int) (class, size int) {
	if n <= minFrame {
		return 0, minFrame
	}
	if n > maxFrame {
		return classes, n
	}
	shift := bits.Len(uint(n-1)) - 3 // n-1 has its top three bits above it
	steps := (n-1)>>shift + 1        // 5 to 8 quarters of the power of two below n
	return 4*(shift-8) + steps - 4, steps << shift
}

// frameMemory returns the memory of a frame of n bytes.
func frameMemory(n int) int64 {
	_, size := frameClass(n)
	return int64(size)
}

func (f *frames) get(n int) *[]byte {
	class, size := frameClass(n)
	if class < classes {
		if b, ok := f.classes[class].Get().(*[]byte); ok {
			*b = (*b)[:n]
			return b
		}
	}
	b := make([]byte, n, size)
	return &b
}

func (f *frames) put(b *[]byte) {
	if class, size := frameClass(cap(*b)); class < classes && size == cap(*b) {
		f.classes[class].Put(b)
	}
}
