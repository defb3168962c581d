// Package crashfs is an in-memory blockfs.FS that loses power and fails on
// request, for crash tests.
//
// It keeps two states: what a running process sees, and what is guaranteed to be
// on disk. Crash makes a new FS from the second, plus as much of the difference
// as the caller chooses: nothing, everything, or a random subset of the unsynced
// 512-byte sectors and a random prefix of the unsynced directory changes. The old
// FS stays usable, like a process that has not noticed yet.
//
// A Fault sees every operation before it begins, and every change again when it
// is visible but not yet durable. There it may return an error, with which the
// operation then fails, or take a Crash.
package crashfs
