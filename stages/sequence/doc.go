// Package sequence is the stage that gives every batch its place in the log.
//
// In: a Write, on the lane of its partitions. Out: the same Write, each append
// stamped with base offset and leader epoch, or marked duplicate, or refused.
// Bytes stay the frame's; only the 12 stamped bytes change (with
// message.timestamp.type=LogAppendTime also timestamps, attributes and CRC).
// The stage never fails; a batch that may not be appended carries its Err.
//
// A lane is one goroutine that owns the next offset of its partitions and alone
// appends to what they know of idempotent producers, which is in a table of all lanes
// that forgets the longest idle.
package sequence
