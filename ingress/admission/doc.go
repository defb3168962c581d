// Package admission is the memory budget in front of the pipelines. Bytes are charged as a
// request frame arrives and refunded once the request has settled and its response has been
// sent. When the budget is exhausted, sockets are no longer read, and QUIC or TCP flow control
// holds producers back. Requests other than Produce have a part of their own, so that consumers
// can drain a broker whose producers are throttled. pipeline.Budget limits what one connection
// or address may take of each part.
package admission
