// Package guard remembers, apart from the Raft logs, how far each of them has got.
//
// In: the last index, term, vote and snapshot of a replica, each time they were
// synced to its log. Out: the same at the next start. A log that then ends before
// what the guard says has lost something that was acknowledged; without the guard
// a log that was cut, emptied or put back from a copy looks like one that never
// got further.
//
// The guard is one file of two pages, which are written in turn and whole, so a
// write that is cut off leaves the other:
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
// Numbers are little endian. Both pages are allocated when the file is made, so a
// full disk does not stop an update, and an update is one write of 4096 bytes that
// is durable when it returns (O_DSYNC). Save may be called by several goroutines;
// those that wait while a page is written share the next one.
//
// What fails: a file that is missing (fs.ErrNotExist) or of which no page can be
// read (ErrDamaged) fails Open. A write that fails is not tried again: the file
// refuses everything from then on, and the caller must acknowledge nothing more.
package guard
