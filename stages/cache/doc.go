// Package cache is the write cache: the group images of what was committed last,
// for readers at the tail.
//
// In: committed Groups. Their images are put into the cache, their batches into the
// partitions' tail indexes, and the new high watermarks are published; then they are
// acknowledged. There is no other place where an acknowledgement comes from.
//
// The cache takes a reference of its own to Group.Image, so an image is stored once, as it is on disk, and never copied. It is bounded by
// bytes and evicts the oldest image first; catch-up readers never touch it,
// they have the read cache.
package cache
