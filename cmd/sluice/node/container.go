package node

import (
	"os"
	"strconv"
	"strings"
)

// containerMemory returns what the container lets its processes take, 0 where there is
// no limit or none can be read: cgroup v2, then v1.
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

// memoryMax reads the contents of such a file. Version 1 has a number near the largest
// there is where there is no limit.
func memoryMax(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n >= 1<<60 { // "max"
		return 0
	}
	return n
}
