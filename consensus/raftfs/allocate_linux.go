package raftfs

import "golang.org/x/sys/unix"

// allocate preallocates blocks beyond a file's end without changing its size.
func allocate(fd uintptr, from, length int64) error {
	return unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, from, length)
}
