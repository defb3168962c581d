//go:build !linux

package kafka

// polledGone is not supported on this system while unread data is pending.
func polledGone(int) bool { return false }
