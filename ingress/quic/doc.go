// Package quic lets Kafka clients in over QUIC. Each stream that a client opens is
// a Kafka connection of its own, so that one that waits never holds up another.
//
// Out: each stream, as a net.Conn, to a function that serves it and owns it from
// then on. QUIC connections are bounded in all and for one client address, streams
// for each connection, and the memory that flow control lets clients fill by one
// budget for all. When many clients arrive at once they must prove their address
// first. When a stream ends, only that stream ends.
package quic
