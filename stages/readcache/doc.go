// Package readcache is the cache of catch-up readers: blocks and footers of
// objects, apart from the write cache so that a scan of history does not push the
// tail out of memory.
//
// In: a Fetch. Out: the same Fetch, its reads of objects served if the blocks
// are cached. What is cached is immutable and verified; it is shared with
// readers without a copy and freed by the collector once nobody holds it.
//
// Blocks that were read ahead have a share of the room to themselves and stay
// until the reader they were read for has passed them; then they are cached like
// others. What was not read yet is so never pushed out by what was.
package readcache
