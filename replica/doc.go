// Package replica drives the replication protocol (internal/replication) for all
// partitions of which this broker is a replica.
//
// In: groups that are about to be written, log ends that are on disk, the records
// of partitions in the metadata, and what other brokers send. Out: lanes that open
// and close, high watermarks, the outcome of appends, and what is sent to others.
//
// Each partition has one lock, that of its Lane. It is held while an event is
// handled and its effects are carried out, in their order; none of these blocks.
// Receipts are settled after it is released. So an epoch begins and ends between
// two appends, and nothing that is acknowledged can be taken back by an event that
// came before.
//
// An append is part of the log once Append has been called for its group: from
// then on its offset is used up. Batches that got their offsets from a lane that
// has closed meanwhile are refused there, before the image of the group is made,
// so the log has no gaps. Whoever closes a lane sets it back to the end of the
// log, and the idempotent producers with it.
//
// What leaders send is checked, appended to the log of its partition, and emitted
// into the batch stage by Run, in order. It is released once it is copied into an
// image. What a leader has for a follower is found by Next: in the image of a group
// that is being written, else in the write cache or the WAL.
//
// Truncations and proposals to the metadata wait, so they run in the background,
// without the lock. Until a truncation is durable the replica takes no part.
package replica
