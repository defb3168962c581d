// Package faultfs is a blockfs.FS around another that fails where an expression
// says so, for tests of what happens then.
//
// An expression is a list of rules, each on a line or behind a semicolon:
//
//	KIND NAME [#WHICH] FAULT
//
//	write segment-*.wal #3 EIO     the third write of a segment fails
//	sync * #2+ EIO                 every sync from the second on fails
//	create spare-* #1-4 ENOSPC     the disk is full for four files
//	* * #17 EIO                    the seventeenth operation of all fails
//	write * short                  every write stops half way
//	write * #1 late EIO            the first write is made, then fails
//	read * slow 50ms               every read takes so much longer
//
// KIND is create, open, list, remove, rename, syncdir, read, write, sync or *.
// NAME is a pattern of path.Match for the file's name; of a rename it is the old
// one; list and syncdir have the name ".". WHICH counts the operations that match
// KIND and NAME, from 1. FAULT is an error number, "late" and an error number,
// "short", or "slow" and a duration. The first rule that applies decides.
//
// Nothing is done of an operation that fails, unless it fails late, and of a
// short write the first half, in whole blocks. A File with a method Drop is told
// of a failed sync, since that is when a kernel drops what it could not write.
package faultfs
