// Package commit is where the wal and the replicate branch meet: a group that is
// durable on both is committed.
//
// In: a Group and its Ack, paired by number. Out: the Group, each append with
// the high watermark that follows from it. Deciding is pure (HighWatermark);
// publishing to readers is left to the publisher, so that whoever sees a
// new high watermark finds the records in the cache.
package commit
