package quicnet

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Coalesced datagrams: the kernel appends datagrams of one peer that came one after
// another with the same ECN bits, and tells their size in a control message. All have
// that size but the last, which may be shorter. One that came alone has no such message.
//
//	buffer  | size bytes | size bytes | ... | 1 to size bytes |
//
// A buffer holds whatever the kernel may append, 64 KiB, so that nothing is cut off.
// QUIC gets copies, in buffers that it owns, each with the address and the other control
// messages (ECN, packet info) of the whole.

const (
	// largestDatagram is the most that a datagram, or several in one, can have.
	largestDatagram = 64 << 10
	// readAhead is how many of them one system call may bring.
	readAhead = 4
	// controlBytes have room for all control messages that QUIC asks for, those of both
	// families on a socket for both, 120 bytes, and for more.
	controlBytes = 256
	// coalescedBytes is what the buffers of a socket take.
	coalescedBytes = readAhead * (largestDatagram + controlBytes)
)

// coalesced reads a socket and hands out single datagrams.
type coalesced struct {
	from  batchReader
	count *SocketStats
	ms    []ipv4.Message // their buffers are read into again and again
	next  int            // the first of ms that is not looked at yet
	read  int            // how many of ms were read
	now   pieces         // what is being handed out
}

// coalesce asks the kernel to coalesce what comes for a socket, which it can from Linux
// 5.0 on, and returns what reads it then; nil where it cannot.
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

// ReadBatch hands out datagrams that were read already, else it reads, and waits until
// there are some. What ms has no room for stays for the next call.
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

// fill writes a datagram into a message. It returns false where one of its parts has no
// room: the datagram is longer than any QUIC packet.
func fill(m *ipv4.Message, data []byte, from net.Addr, control []byte) bool {
	if len(data) > len(m.Buffers[0]) || len(control) > len(m.OOB) {
		return false
	}
	m.N, m.NN = copy(m.Buffers[0], data), copy(m.OOB, control)
	m.Addr, m.Flags = from, 0
	return true
}

// pieces are the datagrams of a message that are not handed out yet.
type pieces struct {
	data    []byte
	size    int // of each but the last
	from    net.Addr
	control []byte // the control messages that are for QUIC
}

// take returns the next one, nil if there is none. An empty datagram, which means
// nothing to QUIC, is none.
func (p *pieces) take() []byte {
	if len(p.data) == 0 {
		return nil
	}
	n := min(p.size, len(p.data))
	d := p.data[:n:n]
	p.data = p.data[n:]
	return d
}

// split finds the datagrams in a message that was read. It returns false if something
// is missing: where the kernel had no room for all data, the last datagram or what is
// left of it; where control messages were cut off and the size is not among those that
// came, everything, since the borders are not known.
func split(m *ipv4.Message) (p pieces, whole bool) {
	size, control, ok := controls(m.OOB[:m.NN])
	if m.Flags&unix.MSG_CTRUNC != 0 {
		ok, control = size > 0, nil // the last is not whole
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

// controls takes the size of coalesced datagrams, 0 if they are not, out of control
// messages, and returns the others, in the same memory. It returns false where they
// cannot be understood.
func controls(b []byte) (size int, others []byte, ok bool) {
	others = b[:0]
	for len(b) > 0 {
		if len(b) < unix.SizeofCmsghdr {
			return size, others, false // the parser takes a whole head for granted
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
