// Package admit is the door of the write pipeline.
//
// What enters: the batches of one produce request, still in its frame. What
// leaves: one Write for each lane that they touch. A batch that is malformed,
// too large or not allowed is refused here, on the caller's goroutine, so that
// checksums are verified in parallel, one connection apart from another.
package admit
