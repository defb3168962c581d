//go:build !linux

package resident

// Shrink does nothing on systems where it is not implemented.
func Shrink() (int64, error) { return 0, nil }
