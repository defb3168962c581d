// Package sequence is the stage that assigns offsets.
//
// In: a Write, on the lane of its partitions. Out: the same Write, each append
// stamped with base offset and leader epoch, or marked as a duplicate, or
// rejected. The bytes remain those of the frame; only the 12 stamped bytes change
// (and with message.timestamp.type=LogAppendTime also timestamps, attributes and
// CRC). The stage never fails; a rejected batch carries its Err.
//
// A lane is one goroutine. It owns the next offset of its partitions and is the
// only writer of their idempotent-producer state, which lives in a table shared
// by all lanes that evicts the producers idle for longest.
package sequence
