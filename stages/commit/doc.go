// Package commit is where the wal and replicate branches meet: a group that is
// durable on both is committed.
//
// In: a Group and its Ack, paired by number. Out: the Group, each append with the
// high watermark that results. The decision is a pure function (HighWatermark).
// Publishing to readers is left to the cache's Publisher, so that whoever sees a
// new high watermark finds the records in the cache.
package commit
