// Package raftfs is the file system that dragonboat and its log store tan are given.
//
// An Overlay lets tan open its logs as it always does, which writes, renames and
// deletes files, without changing any: what it writes stays in memory. So a log is
// judged by the code that will use it before anything of it can be lost.
//
// An FS is the disk. It has a Latch, since tan carries on after a write that
// failed: it renames its unfinished copy of a log over the log, and dragonboat
// panics on goroutines of its own. The first operation that fails is kept, every
// later one that would change something fails too, so that nothing unfinished
// takes the place of anything whole; and once Block was called, operations that
// fail do not return, so that whoever waits for Failed can end the process in good
// order. A failed write or sync is never tried again, with one exception: a write
// for which there was no room, while the Reserve has some.
//
// A Reserve is room on the disk that no other program can take: files that are
// allocated and empty. Where a file is to be made on a full disk one of them is
// renamed, so that its blocks change hands without ever being free; a write that
// finds no room removes one and is carried on.
package raftfs
