// Package kafka speaks the Kafka protocol on a connection, whatever carries it:
// a QUIC stream, TLS or TCP.
//
// In: a net.Conn. The memory of each frame is charged as its bytes come; it is
// walked against the schema of its request (prescan.go) before it is decoded, and
// handed to the Handler of its API key in the order of arrival. Out: the answers,
// in the same order, however late a handler replies.
//
// The bytes of a frame belong to the request until its answer was written; then
// the buffer is used again and the budget refunded. A client that breaks the
// protocol loses its connection and nothing else.
package kafka
