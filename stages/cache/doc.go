// Package cache is the write cache: the images of the most recently committed
// groups, for readers at the tail.
//
// In: committed Groups. Their images are put into the cache and their batches
// into the partitions' tail indexes, the new high watermarks are published, and
// then they are acknowledged. Acknowledgements come from nowhere else.
//
// The cache takes its own reference to Group.Image, so an image is stored once,
// as it is on disk, and never copied. It is bounded by bytes and evicts the
// oldest image first. Catch-up readers do not touch it; they have the read cache.
package cache
