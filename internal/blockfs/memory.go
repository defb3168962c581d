//go:build linux && !race

package blockfs

import "golang.org/x/sys/unix"

// mapped is the size from which memory is mapped apart from the Go heap, where
// hundreds of megabytes of cached images would make the collector let as much
// garbage pile up. Smaller buffers would need too many mappings.
const mapped = 64 << 10

// allocate returns size aligned bytes; size is a multiple of a block.
func allocate(size int) []byte {
	if size < mapped {
		return Aligned(size)
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return Aligned(size) // the heap says so if there is none left
	}
	return mem
}

// release frees what allocate returned.
func release(mem []byte) {
	if len(mem) >= mapped {
		_ = unix.Munmap(mem) // fails only for memory that is not mapped: the heap's
	}
}
