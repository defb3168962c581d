// Package raftnet carries Raft between controllers: the transport of dragonboat, and small calls
// about membership, on one port with mutual TLS 1.3.
//
// In: dragonboat's message batches and snapshot chunks for a controller's name, and calls. Out:
// the same at the other end, in the order in which one connection sent them. Messages may be
// lost with their connection; Raft repeats them.
//
// Raft knows a replica by a name, controller-7-1a2b3c4d, which never changes, and not by an address.
// The Net resolves names: addresses are given by settings, and each controller tells its own in
// the hello of each connection, so a controller that moved is reached at its new address by all
// that it has connected to.
//
// A peer whose connection broke is dialed once. Refused means that its process has ended: Down is
// called, long before an election timeout. Silence says nothing and is left to that timeout.
//
// A connection starts with hello and its reply; after that the dialer sends frames, and gets a
// reply for each call:
//
//	0  4  length of the payload, big endian
//	4  1  kind: 1 hello, 2 reply, 3 message batch, 4 snapshot chunk, 5 call
//	5     payload: JSON in 1, 2 and 5, dragonboat's protobuf in 3 and 4
//
// The version of the protocol is agreed upon in the TLS handshake (ALPN), so an older or newer
// peer is refused before it sends anything.
package raftnet
