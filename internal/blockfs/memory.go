//go:build linux && !race

package blockfs

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	// mapped is the size from which a buffer is a mapping of its own.
	mapped = 64 << 10
	// slabSize is mapped at once for smaller ones, of which a full cache has tens of
	// thousands: more than a process may have mappings.
	slabSize = 1 << 20
)

// arena is the memory of a pool. It is apart from the Go heap, where hundreds of
// megabytes of cached images would make the collector let as much garbage pile
// up, or run without end below a limit. Its owner guards it.
//
// What is cut from slabs goes back to the system page by page, and the addresses
// stay: at most the pool's limit of them for each small size class.
type arena struct {
	vacant map[int][][]byte // without pages, by size
}

// allocate returns size aligned bytes; size is a multiple of a block.
func (a *arena) allocate(size int) []byte {
	if size < mapped {
		return a.cut(size)
	}
	mem, err := mapMemory(size)
	if err != nil {
		return Aligned(size) // the heap says so if there is none left
	}
	return mem
}

// cut returns a piece of a slab.
func (a *arena) cut(size int) []byte {
	if os.Getpagesize() > BlockSize {
		return Aligned(size) // a piece could not be given back without its neighbours
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

// grow maps a slab for pieces of one size; false: there is no memory.
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

// release frees what allocate returned.
func (a *arena) release(mem []byte) {
	switch {
	case len(mem) >= mapped:
		_ = unix.Munmap(mem) // fails only for memory that is not mapped: the heap's
	case os.Getpagesize() <= BlockSize:
		// It is whole pages of nobody else, be it the heap's. Where the advice is
		// refused they stay, and are used again.
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
