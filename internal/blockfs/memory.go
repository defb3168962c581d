//go:build linux && !race

package blockfs

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	// mapped is the size from which a buffer is its own mapping.
	mapped = 64 << 10
	// slabSize is mapped at once for smaller buffers, of which a full cache has tens
	// of thousands: more than a process may have mappings.
	slabSize = 1 << 20
)

// arena is the memory of a pool. It is outside the Go heap, where hundreds of
// megabytes of cached images would make the garbage collector let as much garbage
// accumulate, or run continuously under a memory limit. Its owner guards it.
//
// Slab chunks are returned to the system page by page, but keep their addresses:
// for each small size class at most the pool's limit.
type arena struct {
	vacant map[int][][]byte // chunks without pages, by size
}

// allocate returns size aligned bytes; size is a multiple of a block.
func (a *arena) allocate(size int) []byte {
	if size < mapped {
		return a.carve(size)
	}
	mem, err := mapMemory(size)
	if err != nil {
		return Aligned(size) // the heap panics if there is no memory either
	}
	return mem
}

// carve returns a chunk of a slab.
func (a *arena) carve(size int) []byte {
	if os.Getpagesize() > BlockSize {
		return Aligned(size) // a chunk could not be released without its neighbours
	}
	if len(a.vacant[size]) == 0 && !a.grow(size) {
		return Aligned(size)
	}
	list := a.vacant[size]
	mem := list[len(list)-1]
	list[len(list)-1] = nil
	a.vacant[size] = list[:len(list)-1]
	return mem
}

// grow maps a slab for chunks of one size; it returns false if there is no
// memory.
func (a *arena) grow(size int) bool {
	slab, err := mapMemory(slabSize / size * size)
	if err != nil {
		return false
	}
	if a.vacant == nil {
		a.vacant = make(map[int][][]byte)
	}
	for ; len(slab) > 0; slab = slab[size:] {
		a.vacant[size] = append(a.vacant[size], slab[:size:size])
	}
	return true
}

// release frees memory returned by allocate.
func (a *arena) release(mem []byte) {
	switch {
	case len(mem) >= mapped:
		_ = unix.Munmap(mem) // fails only for memory that is not mapped, that is, heap memory
	case os.Getpagesize() <= BlockSize:
		// These are whole pages used by nobody else, even on the heap. If the advice is
		// refused they stay resident and are reused.
		_ = unix.Madvise(mem, unix.MADV_DONTNEED)
		if a.vacant == nil {
			a.vacant = make(map[int][][]byte)
		}
		a.vacant[len(mem)] = append(a.vacant[len(mem)], mem)
	}
}

func mapMemory(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}
