// Package quicnet is what clients and brokers share of Sluice's QUIC transport: the protocol
// name, the limits of a connection, the socket, and a net.Conn for a stream.
//
// One QUIC stream is one Kafka connection. The dialing side opens it and sends first. Closing a
// Conn ends only its stream. Data written before is still delivered, provided that the owner of the
// stream then calls Linger. 0-RTT is not used, since a replayed produce request would be stored
// twice.
// produce request would be stored twice.
//
// A Socket carries the packets. On Linux the kernel coalesces received datagrams, the Socket
// splits them for quic-go, and its system calls bypass Go's scheduler.
//
// Flow control limits how much data of a peer this end must buffer. The window of a connection
// starts small and grows, up to a limit, while the data is read quickly.
package quicnet
