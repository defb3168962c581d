package node

import (
	"log/slog"
	"syscall"
)

// descriptorReserve is how many files and connections the broker opens itself, at most: logs of
// the metadata, segments, objects being read and written, the store's connections, and
// [adminhttp.MaxConnections].
const descriptorReserve = 512

// connectionsWithin returns how many TCP connections may be accepted so that they leave the
// broker the descriptors that it needs itself, of a process that may have limit: half of
// them, or all but descriptorReserve.
func connectionsWithin(limit uint64, most int) int {
	left := limit - min(limit/2, descriptorReserve)
	return int(min(uint64(most), left))
}

// acceptable returns connectionsWithin of this process, and says so where that is fewer.
func acceptable(most int, log *slog.Logger) int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return most
	}
	n := connectionsWithin(l.Cur, most)
	if n < most {
		log.Warn("the process may not have as many open files as network.max_connections needs; fewer TCP connections are accepted: raise the limit (ulimit -n, LimitNOFILE)",
			"open_files", l.Cur, "connections", n, "max_connections", most)
	}
	return n
}
