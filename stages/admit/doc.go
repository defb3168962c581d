// Package admit is the door of the write pipeline.
//
// What enters: the batches of one produce request, still in its frame. What
// leaves: one Write for each lane that they touch. A batch that is malformed,
// too large or not allowed is refused here, on the caller's goroutine, so that
// checksums are verified in parallel, one connection apart from another.
//
// Gate is the memory budget in front of it: bytes are charged as a frame comes in,
// and refunded when the request has settled and its answer is out of the way. When
// the budget is used up the sockets are not read any more, and QUIC or TCP flow
// control holds the producers back. Requests other than produce have a part of
// their own, so that consumers can drain a broker whose producers are being held.
// What one connection or address may take of each part is up to pipeline.Budget.
package admit
