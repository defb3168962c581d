// Package tcp accepts Kafka clients over TCP, with or without TLS.
//
// After its handshake, each connection is passed to a function that serves and owns it.
// Connections are limited in total and per client address; excess connections are closed at
// once. Serve waits for every connection that it accepted.
package tcp
