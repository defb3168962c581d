package quicnet

import (
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/net/ipv4"
)

// bufferWarning is the only switch there is for a line that quic-go prints on
// standard error where the kernel grants less than 7 MiB of socket buffer. Less
// costs throughput and nothing else; docs/operations tells how to raise it.
const bufferWarning = "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING"

// Socket is a UDP socket for QUIC, to be the Conn of a quic.Transport. Where the
// kernel coalesces datagrams (UDP_GRO), one system call brings many of them, and what a
// peer sends in one piece stays in one piece on its way through the kernel.
//
// It is read by ReadBatch and written to by WriteMsgUDP, as quic-go does: what the methods
// of the UDPConn read may be several datagrams in one.
type Socket struct {
	*net.UDPConn
	messages  *messages
	reader    batchReader
	coalesces bool
	stats     SocketStats
}

// batchReader reads at least one message, or returns an error.
type batchReader interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
}

// mostMessages is how many messages one system call may bring; quic-go has room for
// eight.
const mostMessages = 8

// SocketStats counts what a socket has received since it was opened.
type SocketStats struct {
	Reads     atomic.Int64 // system calls that brought something
	Coalesced atomic.Int64 // messages of the kernel that held several datagrams
	Datagrams atomic.Int64 // handed to QUIC
	// Dropped are messages of the kernel that were not whole, and datagrams that are
	// longer than any QUIC packet. To QUIC they are lost on the way.
	Dropped atomic.Int64
}

// Listen opens a UDP socket for QUIC at host:port. Its buffers are made as large
// as the kernel allows when the socket is used.
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
	from := s.messages.reader(ipv4.NewPacketConn(u), mostMessages) // both read IPv6 as well
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

// ReadBatch reads at least one datagram, each into a message of its own. It is for one
// caller at a time.
func (s *Socket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	return s.reader.ReadBatch(ms, flags)
}

// WriteMsgUDP sends a datagram, or several in one if oob says so.
func (s *Socket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if !s.messages.takes(to) {
		return s.UDPConn.WriteMsgUDP(b, oob, to)
	}
	return s.messages.write(b, oob, to)
}

// Coalesces reports whether the kernel coalesces datagrams for this socket.
func (s *Socket) Coalesces() bool { return s.coalesces }

// BufferBytes is the memory that the socket reads into, beside QUIC's own.
func (s *Socket) BufferBytes() int64 {
	if !s.coalesces {
		return 0
	}
	return coalescedBytes
}

// Stats returns the counts, which go on.
func (s *Socket) Stats() *SocketStats { return &s.stats }

// counted counts what comes uncoalesced.
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
