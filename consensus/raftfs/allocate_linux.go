package raftfs

import "golang.org/x/sys/unix"

// allocate gives a file blocks beyond its end, which stays where it is.
func allocate(fd uintptr, from, length int64) error {
	return unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, from, length)
}
