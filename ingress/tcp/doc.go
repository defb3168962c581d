// Package tcp lets Kafka clients in over TCP, with or without TLS.
//
// Out: each connection, after its handshake, to a function that serves it and
// owns it from then on. Connections are bounded in all and for one client address;
// what is beyond is closed at once. Serve waits for every connection that it let in.
package tcp
