package quicnet

import (
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/net/ipv4"
)

// bufferWarning is the only way to disable a line that quic-go prints to standard error if the
// kernel grants less than 7 MiB of socket buffer. Less only costs throughput. docs/operations.md
// says how to raise it.
const bufferWarning = "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING"

// Socket is a UDP socket for QUIC, for use as the Conn of a quic.Transport. If the kernel
// coalesces datagrams (UDP_GRO), one system call returns many of them, and a train of packets
// that a peer sends at once passes through the kernel as one.
//
// Read it with ReadBatch and write to it with WriteMsgUDP, as quic-go does. The other read
// methods of the UDPConn may return several datagrams as one.
type Socket struct {
	*net.UDPConn
	messages  *messages
	reader    batchReader
	coalesces bool
	stats     SocketStats
}

// batchReader reads at least one message or returns an error.
type batchReader interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
}

// mostMessages is how many messages one system call may return. quic-go asks for up to eight.
const mostMessages = 8

// SocketStats counts what a socket has received since it was opened.
type SocketStats struct {
	Reads     atomic.Int64 // system calls that returned data
	Coalesced atomic.Int64 // messages that contained several datagrams
	Datagrams atomic.Int64 // passed to QUIC
	// Dropped counts truncated messages and datagrams longer than any QUIC packet. QUIC treats
	// them as lost.
	Dropped atomic.Int64
}

// Listen opens a UDP socket for QUIC at host:port. quic-go raises its buffers as far as the
// kernel allows.
func (c Config) Listen(address string) (*Socket, error) {
	if _, set := os.LookupEnv(bufferWarning); !set {
		if err := os.Setenv(bufferWarning, "true"); err != nil {
			return nil, err
		}
	}
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	u, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	s := &Socket{UDPConn: u, messages: newMessages(u)}
	from := s.messages.reader(ipv4.NewPacketConn(u), mostMessages) // also reads IPv6
	s.reader = counted{from, &s.stats}
	if c.ReceiveOffload {
		if r := coalesce(u, from, &s.stats); r != nil {
			s.reader, s.coalesces = r, true
		}
	}
	return s, nil
}

// Socket opens a UDP socket for a connection to remote.
func (c Config) Socket(remote *net.UDPAddr) (*Socket, error) {
	local := ":0"
	switch {
	case !remote.IP.IsLoopback():
	case remote.IP.To4() != nil:
		local = "127.0.0.1:0"
	default:
		local = "[::1]:0"
	}
	return c.Listen(local)
}

// ReadBatch reads at least one datagram, each into its own message. It must not be called
// concurrently.
func (s *Socket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	return s.reader.ReadBatch(ms, flags)
}

// WriteMsgUDP sends a datagram, or several at once if oob says so (UDP_SEGMENT).
func (s *Socket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if !s.messages.takes(to) {
		return s.UDPConn.WriteMsgUDP(b, oob, to)
	}
	return s.messages.write(b, oob, to)
}

// Coalesces reports whether the kernel coalesces datagrams for this socket.
func (s *Socket) Coalesces() bool { return s.coalesces }

// BufferBytes returns the size of the socket's read buffers, which QUIC's own do not include.
func (s *Socket) BufferBytes() int64 {
	if !s.coalesces {
		return 0
	}
	return coalescedBytes
}

// Stats returns the counters, which keep counting.
func (s *Socket) Stats() *SocketStats { return &s.stats }

// counted counts datagrams that are not coalesced.
type counted struct {
	batchReader
	stats *SocketStats
}

func (c counted) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	n, err := c.batchReader.ReadBatch(ms, flags)
	if err == nil {
		c.stats.Reads.Add(1)
		c.stats.Datagrams.Add(int64(n))
	}
	return n, err
}
