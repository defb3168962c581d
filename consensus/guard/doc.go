// Package guard records, outside of the Raft logs, how far each of them has got.
//
// In: the last index, term, vote and snapshot of a replica, each time they are synced to its
// log. Out: the same at the next start. A log that ends before the guard's mark has lost
// acknowledged entries; without the guard, a log that was truncated, emptied or restored from a
// copy looks like one that never got further.
//
// The guard is one file of two pages. They are written alternately and as a whole, so an
// interrupted write leaves the other page intact:
//
//	 0  8  magic "sluiceRG"
//	 8  4  version, 1
//	12  4  CRC32C of the page with these four bytes zero
//	16  8  generation; the valid page with the higher one counts
//	24  4  number of entries
//	28  4  zero
//	32     entries of 48 bytes, by shard and replica: shard, replica, index, term,
//	       vote, index of the snapshot, 8 bytes each
//	       zeros to 4096
//
// Numbers are little endian. Both pages are allocated when the file is created, so a full disk
// does not stop updates. An update is one write of 4096 bytes that is durable when it returns
// (O_DSYNC). Save may be called concurrently; callers that wait while a page is being written
// share the next one.
//
// Errors: Open fails if the file is missing (fs.ErrNotExist) or no page is readable
// (ErrDamaged). A failed write is not retried: the file refuses every later one, and the caller
// must acknowledge nothing more.
package guard
