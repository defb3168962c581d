package consensus_test

import "syscall"

// allocated returns how much of the disk a file has, preallocated or not.
func allocated(path string) (int64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return st.Blocks * 512, err
}
