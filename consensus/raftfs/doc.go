// Package raftfs is the file system used by dragonboat and its log store tan.
//
// An Overlay lets tan open its logs as it always does, which writes, renames and deletes files,
// without changing the disk: its writes stay in memory. So a log is checked by the code that
// will use it, before anything can be lost.
//
// An FS is the disk. It has a Latch because tan carries on after a failed write: it renames its
// unfinished copy of a log over the log, and dragonboat panics on goroutines of its own. The
// latch records the first failed operation, and every later one that would change something
// fails too, so that nothing unfinished replaces anything intact. After Block, failed
// operations do not return, so that the process can shut down in good order once Failed is
// closed. A failed write or sync is never retried, with one exception: a write on a full disk,
// while the Reserve has space.
//
// A Reserve is disk space that no other program can take: allocated, empty files. To create a
// file on a full disk, one of them is renamed, so that its blocks change hands without ever
// being free; a write that runs out of space removes one and continues.
package raftfs
