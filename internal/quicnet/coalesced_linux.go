package quicnet

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Coalesced datagrams: the kernel concatenates consecutive datagrams of one peer with the same ECN
// bits, and reports their size in a control message. All have that size except the last, which may
// be shorter. A datagram on its own has no such message.
//
//	buffer  | size bytes | size bytes | ... | 1 to size bytes |
//
// A buffer is 64 KiB, the most the kernel concatenates, so that nothing is truncated. QUIC gets
// copies, in buffers it owns, each with the address and the other control messages (ECN, packet
// info) of the whole.

const (
	// largestDatagram is the maximum length of one or of several coalesced datagrams.
	largestDatagram = 64 << 10
	// readAhead is the maximum number of messages read per system call.
	readAhead = 4
	// controlBytes has room for all control messages that QUIC enables (120 bytes with those of
	// both families, on a dual-stack socket), and some more.
	controlBytes = 256
	// coalescedBytes is the size of a socket's buffers.
	coalescedBytes = readAhead * (largestDatagram + controlBytes)
)

// coalesced reads a socket and returns single datagrams.
type coalesced struct {
	from  batchReader
	count *SocketStats
	ms    []ipv4.Message // buffers are reused for every read
	next  int            // index in ms of the first message not split yet
	read  int            // number of messages in ms
	now   pieces         // the message being returned
}

// coalesce asks the kernel to coalesce datagrams received on a socket (since Linux 5.0) and returns
// the reader for them, or nil if that is not possible.
func coalesce(c *net.UDPConn, from batchReader, count *SocketStats) batchReader {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var refused error
	err = raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
	if err != nil || refused != nil {
		return nil
	}
	return newCoalesced(from, count)
}

func newCoalesced(from batchReader, count *SocketStats) *coalesced {
	r := &coalesced{from: from, count: count, ms: make([]ipv4.Message, readAhead)}
	for i := range r.ms {
		r.ms[i].Buffers = [][]byte{make([]byte, largestDatagram)}
		r.ms[i].OOB = make([]byte, controlBytes)
	}
	return r
}

// ReadBatch returns datagrams that were already read; if there are none, it waits and reads.
// Datagrams that do not fit into ms stay for the next call.
func (r *coalesced) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		if n := r.handOut(ms); n > 0 || len(ms) == 0 {
			return n, nil
		}
		n, err := r.from.ReadBatch(r.ms, flags)
		if err != nil {
			return 0, err
		}
		r.next, r.read = 0, n
		r.count.Reads.Add(1)
	}
}

func (r *coalesced) handOut(ms []ipv4.Message) int {
	n := 0
	for n < len(ms) {
		data := r.now.take()
		switch {
		case data != nil && fill(&ms[n], data, r.now.from, r.now.control):
			n++
		case data != nil:
			r.count.Dropped.Add(1)
		case r.next < r.read:
			var whole bool
			if r.now, whole = split(&r.ms[r.next]); !whole {
				r.count.Dropped.Add(1)
			}
			if len(r.now.data) > r.now.size {
				r.count.Coalesced.Add(1)
			}
			r.next++
		default:
			r.count.Datagrams.Add(int64(n))
			return n
		}
	}
	r.count.Datagrams.Add(int64(n))
	return n
}

// fill copies a datagram into a message. It returns false if the data or the control messages do
// not fit: the datagram is longer than any QUIC packet.
func fill(m *ipv4.Message, data []byte, from net.Addr, control []byte) bool {
	if len(data) > len(m.Buffers[0]) || len(control) > len(m.OOB) {
		return false
	}
	m.N, m.NN = copy(m.Buffers[0], data), copy(m.OOB, control)
	m.Addr, m.Flags = from, 0
	return true
}

// pieces are the datagrams of a message that were not returned yet.
type pieces struct {
	data    []byte
	size    int // of each except the last
	from    net.Addr
	control []byte // the control messages for QUIC
}

// take returns the next datagram, nil if there is none. Empty datagrams, which mean nothing to
// QUIC, are skipped.
func (p *pieces) take() []byte {
	if len(p.data) == 0 {
		return nil
	}
	n := min(p.size, len(p.data))
	d := p.data[:n:n]
	p.data = p.data[n:]
	return d
}

// split finds the datagrams in a message. It returns false if something is missing. If the kernel
// truncated the data, the last datagram, or what is left of it, is dropped. If it truncated the
// control messages and the size is not among those received, everything is dropped, since the
// boundaries are unknown.
func split(m *ipv4.Message) (p pieces, whole bool) {
	size, control, ok := controls(m.OOB[:m.NN])
	if m.Flags&unix.MSG_CTRUNC != 0 {
		ok, control = size > 0, nil // the last one is truncated
	}
	if !ok {
		return pieces{}, false
	}
	p = pieces{data: m.Buffers[0][:m.N], size: size, from: m.Addr, control: control}
	whole = m.Flags&unix.MSG_TRUNC == 0
	switch {
	case whole && size == 0:
		p.size = m.N
	case !whole && size == 0:
		p.data = nil
	case !whole:
		p.data = p.data[:m.N-m.N%size]
	}
	return p, whole
}

// controls extracts the size of coalesced datagrams (0 if not coalesced) from control messages and
// returns the others, in the same memory. It returns false if they cannot be parsed.
func controls(b []byte) (size int, others []byte, ok bool) {
	others = b[:0]
	for len(b) > 0 {
		if len(b) < unix.SizeofCmsghdr {
			return size, others, false // the parser assumes a complete header
		}
		h, body, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return size, others, false
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO {
			if len(body) < 4 {
				return 0, others, false
			}
			size = int(int32(binary.NativeEndian.Uint32(body)))
			if size < 1 {
				return 0, others, false
			}
		} else {
			others = append(others, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return size, others, true
}
