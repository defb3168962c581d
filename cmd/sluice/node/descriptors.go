package node

import (
	"log/slog"
	"syscall"
)

// descriptorReserve is the maximum number of descriptors that the broker itself needs: metadata
// logs, segments, objects being read and written, connections to the store, and
// [adminhttp.MaxConnections].
const descriptorReserve = 512

// connectionsWithin returns how many TCP connections may be accepted so that enough descriptors
// are left for the broker itself, given the process's limit: half of them, or all but
// descriptorReserve.
func connectionsWithin(limit uint64, most int) int {
	left := limit - min(limit/2, descriptorReserve)
	return int(min(uint64(most), left))
}

// acceptable returns connectionsWithin for this process, and logs if that is fewer than
// configured.
func acceptable(most int, log *slog.Logger) int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return most
	}
	n := connectionsWithin(l.Cur, most)
	if n < most {
		log.Warn("the open file limit is too low for network.max_connections, so fewer TCP connections are accepted: raise the limit (ulimit -n, LimitNOFILE)",
			"open_files", l.Cur, "connections", n, "max_connections", most)
	}
	return n
}
