// Package wal is the broker's write-ahead log and the stage that writes it.
//
// In: Groups with their images, in order. Out: the same Groups and where they are, in order,
// each once it and all before it are durable. An image is the one copy that is
// made of every batch, aligned, as it goes to disk; Log.Image makes it, before other branches
// see the group, and the stage adds its head. The batches' own checksums have to
// be right: the group's is put together from them.
//
// Several groups are being written at once and complete in any order; what was
// decided about a group (its place, its number, the hash of the one before it)
// was decided before its write began, so completion only has to wait for the
// prefix. A group with nothing to write passes in its place without I/O.
//
// The log is a sequence of preallocated segments. When it has no room left the
// stage waits, which holds the producers back, and asks for an upload through
// Pressure. A segment is given back when nobody holds it and all that was placed in it
// is done with: see DESIGN.md for its life, docs/formats/wal.md for the layout.
//
// Truncate takes back what a partition has from an offset on, as a record of the
// log, which recovery obeys; for followers, whose leader has something else there.
//
// What fails: a write or a sync that fails latches the log. It is never retried,
// the group and all after it are nacked with ErrFailed, and only a restart, which
// recovers what is on disk, opens it again. Nothing else nacks a group, since
// offsets were given out and a hole would remain.
package wal
