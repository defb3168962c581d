// Package blockfs is the only door to the broker's disks: aligned memory,
// directories of preallocated files, and writes that say when they are durable.
//
// What enters: block-aligned ranges in a Buffer. What leaves: a call of done for
// each, after the bytes are where the Mode asked for. The bytes belong to the
// writer until then; a Buffer is reference counted, so whoever needs it longer
// retains it.
//
// What fails: an error of a write or a sync says nothing about what reached the
// disk. Nothing here is retried, since the kernel may have dropped the pages
// that it could not write (fsyncgate); the caller decides what the file is
// still good for.
//
// A Dir is the real thing, with O_DIRECT where the file system has it and
// through the page cache where not. Package crashfs is the one for tests, which
// loses power on request.
package blockfs
