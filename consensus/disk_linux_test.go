package consensus_test

import "syscall"

// allocated returns the disk space of a file, including preallocated blocks.
func allocated(path string) (int64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return st.Blocks * 512, err
}
