package blockfs

import "unsafe"

// Aligned returns size bytes of the Go heap that start on a block boundary.
// The allocator's own classes mostly do; where not, a block more is taken.
func Aligned(size int) []byte {
	if mem := make([]byte, size); IsAligned(mem) {
		return mem
	}
	mem := make([]byte, size+BlockSize)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (BlockSize - 1))
	return mem[skip : skip+size : skip+size]
}

// IsAligned reports whether p starts on a block boundary and is whole blocks.
func IsAligned(p []byte) bool {
	return len(p)%BlockSize == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%BlockSize == 0
}
