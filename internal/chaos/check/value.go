package check

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// ID names a record of a run. Numbers of a partition are dense, from 0, in the order of sending.
type ID struct {
	Run       uint64
	Partition int32
	Number    int64
}

// A value is the run, partition and number of its record, filler, and a CRC32C of all that.
const (
	idBytes  = 8 + 4 + 8
	crcBytes = 4
	// MinValueBytes is the size of the smallest value.
	MinValueBytes = idBytes + crcBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Value returns the value of a record, of the given size or the smallest.
func Value(id ID, size int) []byte {
	v := make([]byte, max(size, MinValueBytes))
	binary.LittleEndian.PutUint64(v, id.Run)
	binary.LittleEndian.PutUint32(v[8:], uint32(id.Partition))
	binary.LittleEndian.PutUint64(v[12:], uint64(id.Number))
	fill := v[idBytes : len(v)-crcBytes]
	x := id.Run ^ uint64(id.Number)<<20 ^ uint64(id.Partition)
	for i := range fill { // incompressible, and different in each record
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fill[i] = byte(x >> 32)
	}
	end := len(v) - crcBytes
	binary.LittleEndian.PutUint32(v[end:], crc32.Checksum(v[:end], castagnoli))
	return v
}

var errValue = errors.New("not the value of a record of this harness, or changed")

// ParseValue returns the ID in a value whose checksum is right.
func ParseValue(v []byte) (ID, error) {
	end := len(v) - crcBytes
	if end < idBytes || crc32.Checksum(v[:end], castagnoli) != binary.LittleEndian.Uint32(v[end:]) {
		return ID{}, errValue
	}
	return ID{binary.LittleEndian.Uint64(v), int32(binary.LittleEndian.Uint32(v[8:])), int64(binary.LittleEndian.Uint64(v[12:]))}, nil
}
