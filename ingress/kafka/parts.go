package kafka

import (
	"context"
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// parts is an answer whose rows are made while it is written, so that it takes the memory of
// one row however many there are. A frame begins with its length, so each row is made twice:
// to know how long it is, and to be written. row must give the same bytes both times: it is
// made of what cannot change.
//
// Layout of the answer: head, the number of rows as an array has it, the rows, tail.
type parts struct {
	head, tail []byte
	compact    bool  // the array has a compact length
	held       int64 // bytes that it takes until it is written, beside the request
	heavy      bool  // made in a place among the requests that name much
	rows       int
	row        func(i int, to []byte) []byte // appends row i
}

// partBytes is how much of an answer is made in one turn.
const partBytes = 64 << 10

// begin appends what comes before the rows.
func (a *parts) begin(to []byte) []byte {
	to = append(to, a.head...)
	if a.compact {
		return binary.AppendUvarint(to, uint64(a.rows)+1)
	}
	return binary.BigEndian.AppendUint32(to, uint32(a.rows))
}

// each makes all rows, about partBytes of them at a time, and hands these to use, which must not
// keep them. buffer is scratch space; each returns it, or a larger one.
func (a *parts) each(c *conn, buffer []byte, use func([]byte) error) ([]byte, error) {
	for i := 0; i < a.rows; {
		if a.heavy {
			// What has begun is always finished in turn, also without a client.
			place, err := c.s.places.Acquire(context.Background(), c.who)
			if err != nil {
				return buffer, err
			}
			i, buffer = a.some(i, buffer[:0])
			place.Release()
		} else {
			i, buffer = a.some(i, buffer[:0])
		}
		if err := use(buffer); err != nil {
			return buffer, err
		}
	}
	return buffer, nil
}

// some makes rows from i on, and returns which is the next.
func (a *parts) some(i int, to []byte) (next int, made []byte) {
	for i < a.rows && len(to) < partBytes {
		to = a.row(i, to)
		i++
	}
	return i, to
}

// rowOf appends the one row that resp has, without what is around it: head bytes before the
// array of rows, tail after it.
func rowOf(resp kmsg.Response, head, tail int, to []byte) []byte {
	if resp.IsFlexible() {
		head++ // the length of a compact array of one
	} else {
		head += 4
	}
	at := len(to)
	to = resp.AppendTo(to)
	n := copy(to[at:], to[at+head:len(to)-tail])
	return to[:at+n]
}
