package node

import (
	"os"
	"strconv"
	"strings"
)

// containerMemory returns the memory limit of the container (cgroup v2, then v1), 0 if there is
// none or it cannot be read.
func containerMemory() int64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		return memoryMax(string(text))
	}
	return 0
}

// memoryMax parses the contents of such a file. Without a limit, version 1 has a very large
// number.
func memoryMax(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n >= 1<<60 { // "max"
		return 0
	}
	return n
}
