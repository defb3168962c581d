// Package sequence is the stage that assigns offsets.
//
// In: a Write, on the lane of its partitions. Out: the same Write, each append
// stamped with base offset and leader epoch, or marked as a duplicate, or
// rejected. The bytes remain those of the frame; only the 12 stamped bytes change
// (and with message.timestamp.type=LogAppendTime also timestamps, attributes and
// CRC). The stage never fails; a rejected batch carries its Err.
//
// The next offset and the idempotent producers are in the partition's Lane, which
// the replica opens and closes. The stage has no state of its own; that each
// partition belongs to one of its lanes keeps its batches in order on the way to
// the batch stage.
package sequence
