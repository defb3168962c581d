// Package blockfs does all disk I/O of the broker: aligned memory, directories of
// preallocated files, and writes that report when they are durable.
//
// In: block-aligned ranges in a Buffer. Out: a call of Done for each, once the
// bytes are where the Mode requires. The bytes belong to the writer until then; a
// Buffer is reference counted, so whoever needs it longer retains it.
//
// Errors: a failed write or sync says nothing about what reached the disk.
// Nothing here is retried, since the kernel may have dropped the pages that it
// could not write (fsyncgate); the caller decides what the file is still good
// for.
//
// A Dir is the real implementation, with O_DIRECT where the file system supports
// it and through the page cache otherwise. Package crashfs is for tests and loses
// power on request.
package blockfs
