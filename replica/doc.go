// Package replica drives the replication protocol (internal/replication) for all
// partitions of which this broker is a replica.
//
// In: groups that are about to be written, log ends that are on disk, and the
// records of partitions in the metadata. Out: lanes that open and close, high
// watermarks, and the outcome of appends.
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
package replica
