package wal

import (
	"hash/crc32"

	"github.com/sluicemq/sluice/internal/record"
)

// This is stronger than hashing the image: bytes corrupted in memory after the
// batch was verified do not get a valid checksum.

// combineFrom is the size from which combining is cheaper than hashing.
const combineFrom = 4 << 10

// addBatch returns the checksum of what sum covers followed by b, whose own
// checksum must be valid.
func addBatch(sum uint32, b record.Batch) uint32 {
	if len(b) < combineFrom {
		return crc32.Update(sum, castagnoli, b)
	}
	head, rest := b.Uncovered(), len(b)-len(b.Uncovered())
	return shifts.apply(crc32.Update(sum, castagnoli, head), rest) ^ b.CRC()
}

// shiftTable has x^(8 d 16^i) at [i][d].
type shiftTable [8][16]uint32

var shifts = newShiftTable()

func newShiftTable() *shiftTable {
	t := &shiftTable{}
	step := uint32(1) << (31 - 8) // x^8
	for i := range t {
		power := uint32(1) << 31 // x^0
		for d := range t[i] {
			t[i][d] = power
			power = multiply(power, step)
		}
		step = power // the 16th
	}
	return t
}

// apply returns sum times x^8n.
func (t *shiftTable) apply(sum uint32, n int) uint32 {
	for i := 0; n > 0; i, n = i+1, n>>4 {
		if d := n & 15; d != 0 {
			sum = multiply(t[i][d], sum)
		}
	}
	return sum
}

// multiply returns a times b modulo the polynomial, in constant time.
func multiply(a, b uint32) (product uint32) {
	for range 32 {
		product ^= b & -(a >> 31)
		a <<= 1
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}
