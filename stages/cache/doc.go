// Package cache is the write cache: the group images of what was committed last,
// for readers at the tail.
//
// In: committed Groups. Out: the same Groups, after their images were put into
// the cache, their batches into the partitions' tail indexes, and the new high
// watermarks published; what follows may acknowledge.
//
// The cache takes a reference of its own to Group.Image, so an image is stored once, as it is on disk, and never copied. It is bounded by
// bytes and evicts the oldest image first; catch-up readers never touch it,
// they have the read cache.
package cache
