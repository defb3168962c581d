package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errMalformed means that a request does not match its schema.
var errMalformed = errors.New("malformed request")

// prescan validates a request body: every field of its schema must really be present. The
// decoder that follows trusts lengths: seven bytes can keep it busy for minutes, and it
// allocates an array in full from its count alone. After prescan, memory and time of decoding
// are bounded by the size of the frame. As in Kafka, bytes after the last field are ignored.
//
// decoded estimates the memory that the request's arrays take once decoded, up to twenty times
// their size in the frame.
func prescan(key, version int16, body []byte) (decoded int64, err error) {
	s, ok := schemas[key]
	if !ok {
		return 0, fmt.Errorf("%w: no schema for key %d", errMalformed, key)
	}
	w := walker{rest: body, version: version, flexible: version >= s.flexible}
	w.structure(s.fields)
	if w.bad {
		return 0, fmt.Errorf("%w: key %d version %d, %d bytes", errMalformed, key, version, len(body))
	}
	return w.decoded, nil
}

// walker steps through the bytes; after the first error it does nothing.
type walker struct {
	rest     []byte
	version  int16
	flexible bool
	bad      bool
	decoded  int64
}

func (w *walker) structure(fields []field) {
	for i := range fields {
		f := &fields[i]
		if w.version < f.from || w.version > f.to {
			continue
		}
		switch {
		case f.array:
			w.array(f)
		case f.optional:
			w.maybe(f)
		default:
			w.primitive(f.size)
		}
		if w.bad {
			return
		}
	}
	if w.flexible {
		w.tags()
	}
}

func (w *walker) array(f *field) {
	var n int
	if w.flexible {
		n = w.compact()
	} else {
		n = w.classic(4)
	}
	w.decoded += int64(n) * int64(f.memory)
	for ; n > 0 && !w.bad; n-- {
		if f.elements != nil {
			w.structure(f.elements)
		} else {
			w.primitive(f.size)
		}
	}
}

// maybe walks a nullable struct, which starts with a presence byte.
func (w *walker) maybe(f *field) {
	if len(w.rest) == 0 {
		w.fail()
		return
	}
	null := w.rest[0] == 0xff
	if w.rest = w.rest[1:]; null {
		return
	}
	w.decoded += int64(f.memory)
	w.structure(f.elements)
}

// primitive skips one field.
func (w *walker) primitive(size int) {
	text := size == sizeString // strings are copied when decoded, bytes are not
	switch {
	case size > 0:
	case w.flexible:
		size = w.compact()
	case size == sizeString:
		size = w.classic(2)
	default:
		size = w.classic(4)
	}
	if text {
		w.decoded += int64(size)
	}
	w.skip(size)
}

// compact reads a length or count encoded as unsigned varint plus one; 0 is null.
func (w *walker) compact() int {
	n := w.uvarint()
	if n == 0 {
		return 0
	}
	return w.checked(int64(n) - 1)
}

// classic reads a length or count of width bytes; -1 is null.
func (w *walker) classic(width int) int {
	if len(w.rest) < width {
		w.fail()
		return 0
	}
	var n int64
	if width == 2 {
		n = int64(int16(binary.BigEndian.Uint16(w.rest)))
	} else {
		n = int64(int32(binary.BigEndian.Uint32(w.rest)))
	}
	w.rest = w.rest[width:]
	if n == -1 {
		return 0
	}
	return w.checked(n)
}

// checked refuses a count larger than the bytes left, since every element takes at least one
// byte.
func (w *walker) checked(n int64) int {
	if n < 0 || n > int64(len(w.rest)) {
		w.fail()
		return 0
	}
	return int(n)
}

func (w *walker) tags() {
	for n := w.checked(int64(w.uvarint())); n > 0 && !w.bad; n-- {
		w.uvarint()
		w.skip(w.checked(int64(w.uvarint())))
	}
}

func (w *walker) uvarint() uint32 {
	v, n := binary.Uvarint(w.rest)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		w.fail()
		return 0
	}
	w.rest = w.rest[n:]
	return uint32(v)
}

func (w *walker) skip(n int) {
	if n > len(w.rest) {
		w.fail()
		return
	}
	w.rest = w.rest[n:]
}

func (w *walker) fail() { w.bad, w.rest = true, nil }
