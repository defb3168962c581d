// Package quicnet holds what both ends of Sluice's QUIC transport agree on: the
// protocol name, the bounds of a connection, the socket, and a stream as a net.Conn.
//
// One QUIC stream is one Kafka connection. The dialing side opens it and sends
// first. Closing a Conn ends its stream alone: what was written before is still
// delivered, for which the owner of the stream calls Linger afterwards. 0-RTT is
// not used, since a produce request that is replayed would be stored twice.
//
// A Socket is what carries it: on Linux it has the kernel hand over many datagrams in
// one, gives them to quic-go one by one, and makes its system calls without telling Go's
// scheduler.
//
// Flow control bounds what a peer can make this end hold: a connection's window
// starts small and grows while the data is taken quickly, up to a limit.
package quicnet
