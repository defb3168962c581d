// Package tanlog finds the end of a log of tan, dragonboat's log store, that tan cannot open,
// and checks dragonboat's snapshot files. It only reads.
//
// A log consists of 32 KiB blocks. A record is one or more chunks, none of which crosses a
// block:
//
//	0  4  low half of xxHash64 of everything from byte 6 on
//	4  2  length of the payload
//	6  1  1 a whole record, 2 its first chunk, 3 a middle one, 4 the last
//	7     payload
//
// If a block has no space for another header, the rest is zeros. Numbers are little endian.
package tanlog

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

const (
	blockBytes  = 32 << 10
	headerBytes = 7

	full, first, middle, last = 1, 2, 3, 4
)

// Whole returns the length of the prefix of a log that consists of whole records.
func Whole(log []byte) (end int64) {
	within := false // inside a record
	for at := 0; at+headerBytes <= len(log); {
		block := min((at/blockBytes+1)*blockBytes, len(log))
		if at+headerBytes > block { // no space for a header: zeros up to the next block
			at = block
			continue
		}
		length := int(binary.LittleEndian.Uint16(log[at+4:]))
		kind := log[at+6]
		next := at + headerBytes + length
		if next > block || binary.LittleEndian.Uint32(log[at:]) != uint32(xxhash.Sum64(log[at+6:next])) {
			return end
		}
		switch {
		case !within && (kind == full || kind == first), within && (kind == middle || kind == last):
		default:
			return end
		}
		if within = kind == first || kind == middle; !within {
			end = int64(next)
		}
		at = next
	}
	return end
}
