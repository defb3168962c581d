// Package crashfs is a blockfs.FS in memory that loses power and fails on
// request, for tests of what is written to survive that.
//
// It keeps two states: what a running process sees, and what the disk is sure to
// hold. Crash makes a new FS of the second, with as much of the difference as the
// caller says: nothing, all, or any subset of the 512-byte sectors and any prefix
// of the directory changes that were not synced. The old FS stays usable, like a
// process that has not noticed yet.
//
// A Fault sees every operation before it begins, and every change again when
// it is visible but not yet durable. There it may return an error, which is what
// the operation then fails with, or take a Crash.
package crashfs
