package config

import (
	"math"
	"strings"
)

// Upper bounds of settings that have no nearer one of their own. They are far above
// what makes sense and far enough below the ends of an int64 that sums of several, and
// times in nanoseconds, do not overflow.
const (
	mostMs    = 10 * 365 * 24 * hour // ten years
	mostBytes = 1 << 40
	mostCount = math.MaxInt32
)

// most returns the upper bound of a setting by the unit that its key names.
func most(key string) int64 {
	switch {
	case strings.HasSuffix(key, "_ms"):
		return mostMs
	case strings.HasSuffix(key, "_bytes"), strings.HasSuffix(key, "bytes_per_second"):
		return mostBytes
	}
	return mostCount
}
