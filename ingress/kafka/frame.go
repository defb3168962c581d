package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// header is what stands before the body of every request.
type header struct {
	key, version  int16
	correlationID int32
	clientID      string
}

// fixedHeader is the part that all header versions share: key, version,
// correlation id.
const fixedHeader = 8

// readFixed reads the length of the next frame and its fixed header. size is
// what of the frame is left to read.
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

// finish reads the rest of the header from the front of b and returns the body.
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

// appendHeader begins an answer: room for its length, correlation id and tags.
// ApiVersions never has tags there, since the client does not know yet what
// the broker speaks (KIP-511).
func appendHeader(dst []byte, key int16, correlationID int32, flexible bool) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if flexible && key != kmsg.ApiVersions.Int16() {
		dst = append(dst, 0)
	}
	return dst
}

// frames lends buffers for frames, in sizes of powers of two. Frames above the
// largest size are allocated each time.
type frames struct {
	classes [maxClass - minClass + 1]sync.Pool
}

const minClass, maxClass = 10, 22 // 1 KiB to 4 MiB

func (f *frames) get(n int) *[]byte {
	class := max(bits.Len(uint(max(n-1, 0))), minClass)
	if class > maxClass {
		b := make([]byte, n)
		return &b
	}
	if b, ok := f.classes[class-minClass].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class)
	return &b
}

func (f *frames) put(b *[]byte) {
	class := bits.Len(uint(cap(*b) - 1))
	if class > maxClass || cap(*b) != 1<<class {
		return
	}
	f.classes[class-minClass].Put(b)
}
