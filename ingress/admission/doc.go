// Package admission is the memory budget in front of the pipelines: bytes are charged as
// a request frame comes in, and refunded when the request has settled and its answer is
// out of the way. When the budget is used up the sockets are not read any more, and QUIC
// or TCP flow control holds the producers back. Requests other than produce have a part
// of their own, so that consumers can drain a broker whose producers are being held.
// What one connection or address may take of each part is up to pipeline.Budget.
package admission
