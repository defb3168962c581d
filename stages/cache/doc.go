// Package cache is the write cache: the images of the most recently written
// groups, for readers at the tail.
//
// In: Groups that are on disk. Their images are put into the cache and their
// batches into the partitions' tail indexes, then the replicas of the partitions
// are told, which publish high watermarks and acknowledge. So whoever sees a high
// watermark finds the records.
//
// The cache takes its own reference to Group.Image, so an image is stored once,
// as it is on disk, and never copied. It is bounded by bytes and evicts the
// oldest image first. Catch-up readers do not touch it; they have the read cache.
package cache
