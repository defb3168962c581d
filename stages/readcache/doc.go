// Package readcache is the cache for catch-up readers: blocks and footers of
// objects, separate from the write cache so that a scan of history does not push
// the tail out of memory.
//
// In: a Fetch. Out: the same Fetch, its object reads served if the blocks are
// cached. Cached data is immutable and verified; it is shared with readers
// without copying and freed by the garbage collector once nobody holds it.
//
// Read-ahead blocks have a part of the space to themselves and stay until the
// reader they were read for has passed them; then they are cached like others. So
// blocks not read yet are never evicted by those that were.
package readcache
