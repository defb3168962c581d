package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errMalformed: a request does not follow its schema.
var errMalformed = errors.New("malformed request")

// prescan walks a request body and refuses it unless every field that its schema
// has is really there. The decoder behind it trusts lengths: seven bytes can keep
// it busy for minutes, and an array of which only the count was sent is allocated
// in full. After a walk, memory and time of decoding are bounded by the bytes of
// the frame. Bytes that follow the last field are ignored, as Kafka does.
//
// decoded is about what the arrays of the request are decoded into, in bytes: that
// can be twenty times what they take in the frame.
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

// walker goes through bytes; after the first mistake it does nothing more.
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

// maybe walks a struct that may be null, which a byte says.
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
	text := size == sizeString // is copied, unlike bytes
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

// compact reads a length or count as an unsigned varint of one more; null is 0.
func (w *walker) compact() int {
	n := w.uvarint()
	if n == 0 {
		return 0
	}
	return w.checked(int64(n) - 1)
}

// classic reads a length or count of so many bytes; null is -1.
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

// checked refuses what cannot fit into the bytes left: everything that is
// counted takes at least one.
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
