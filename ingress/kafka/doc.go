// Package kafka serves the Kafka protocol on a connection of any transport: a QUIC stream, TLS
// or TCP.
//
// In: a net.Conn. The memory of each frame is charged as its bytes arrive. The frame is
// validated against the schema of its request (prescan.go), decoded, and passed to the Handler
// of its API key in order of arrival. Out: the responses, in the same order, however late a
// handler replies.
//
// The bytes of a frame belong to the request until its response was written; then the buffer is
// reused and the budget refunded. A client that violates the protocol loses its connection and
// affects nobody else.
package kafka
