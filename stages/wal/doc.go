// Package wal is the broker's write-ahead log and the stage that writes it.
//
// In: Groups with their images, in order. Out: the same Groups with their
// positions, in order, each once it and all before it are durable. An image holds
// the only copy made of each batch, aligned, as it goes to disk; Log.Image builds
// it before other branches see the group, and the stage adds its head. The
// batches' own checksums must be valid: the group's checksum is combined from
// them.
//
// Several groups are written concurrently and complete in any order. What is
// decided about a group (its position, its number, the hash of the previous
// group) is decided before its write starts, so completion only has to wait for
// the prefix. A group with nothing to write passes in order without I/O.
//
// The log is a sequence of preallocated segments. When it is full the stage
// waits, which holds back producers, and requests an upload through Pressure. A
// segment is reclaimed when nobody holds it and everything in it is done: see
// DESIGN.md for its life cycle and docs/formats/wal.md for the layout.
//
// Truncate discards what a partition has from an offset on. It is a record in the
// log that recovery obeys, for followers whose leader has something else at those
// offsets.
//
// Failures: a write or sync that fails latches the log. It is never retried; the
// group and all after it are nacked with ErrFailed, and only a restart, which
// recovers what is on disk, opens the log again. Nothing else nacks a group,
// since offsets have been assigned and a hole would remain.
package wal
