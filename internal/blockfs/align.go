package blockfs

import "unsafe"

// Aligned returns size bytes of Go heap that start on a block boundary. The
// allocator's size classes mostly do; otherwise an extra block is allocated.
func Aligned(size int) []byte {
	if mem := make([]byte, size); IsAligned(mem) {
		return mem
	}
	mem := make([]byte, size+BlockSize)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (BlockSize - 1))
	return mem[skip : skip+size : skip+size]
}

// IsAligned reports whether p starts on a block boundary and consists of whole
// blocks.
func IsAligned(p []byte) bool {
	return len(p)%BlockSize == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%BlockSize == 0
}
