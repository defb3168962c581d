package record

import "hash/crc32"

// The checksum of bytes that are made of batches is put together from those that the
// batches have themselves, so that only the few bytes before each batch's own checksum
// ends are hashed again. For polynomials over GF(2), with a CRC as the remainder
// of what it covers, CRC(A then B) is CRC(A) times x^8|B| plus CRC(B), modulo the
// CRC's polynomial. As in zlib's crc32_combine, bits are reflected: the highest
// bit of a word is the coefficient of x^0.
//
// This is stronger than hashing the bytes: what went bad in memory after the batch was
// verified does not get a checksum that is right.

// combineFrom is the size from which combining is cheaper than hashing.
const combineFrom = 4 << 10

// Extend returns the CRC32C of what sum covers followed by b, whose own checksum must be
// right.
func (b Batch) Extend(sum uint32) uint32 {
	if len(b) < combineFrom {
		return crc32.Update(sum, castagnoli, b)
	}
	return Concatenated(crc32.Update(sum, castagnoli, b[:offAttributes]), b.CRC(), len(b)-offAttributes)
}

// Concatenated returns the CRC32C of what a covers followed by the n bytes that b covers.
func Concatenated(a, b uint32, n int) uint32 { return shifts.apply(a, n) ^ b }

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
