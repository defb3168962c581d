// Package quic accepts Kafka clients over QUIC. Each stream that a client opens is an
// independent Kafka connection, so one that waits never holds up another.
//
// Each stream is passed as a net.Conn to a function that serves and owns it. QUIC connections
// are limited in total and per client address, streams per connection, and flow control windows
// by one budget for all. During a burst of new clients each must validate its address first.
// The end of a stream affects only that stream.
package quic
