// Package admit is the entry of the write pipeline.
//
// In: the batches of one produce request, still in its frame. Out: one Write per
// lane that they touch. A batch that is malformed, too large or not allowed is
// rejected here, on the caller's goroutine, so that checksums of different
// connections are verified in parallel.
package admit
