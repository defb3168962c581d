// Package faultfs wraps a blockfs.FS and injects faults where an expression says so,
// for tests.
//
// An expression is a list of rules, separated by newlines or semicolons:
//
//	KIND NAME [#WHICH] FAULT
//
//	write segment-*.wal #3 EIO     the third write of a segment fails
//	sync * #2+ EIO                 every sync from the second on fails
//	create spare-* #1-4 ENOSPC     the disk is full for four files
//	* * #17 EIO                    the seventeenth operation of any kind fails
//	write * short                  every write stops halfway
//	write * #1 late EIO            the first write takes effect, then fails
//	read * slow 50ms               every read takes that much longer
//
// KIND is create, open, list, remove, rename, syncdir, read, write, sync or *.
// NAME is a path.Match pattern for the file's name (for a rename, the old name);
// list and syncdir have the name ".". WHICH selects among the operations that match
// KIND and NAME, counted from 1. FAULT is an errno, "late" and an errno, "short", or
// "slow" and a duration. The first rule that applies decides.
//
// A failing operation has no effect unless it fails late; a short write writes the
// first half, in whole blocks. If a File has a Drop method, it is called on a failed
// sync, since that is when a kernel drops the pages that it could not write.
package faultfs
