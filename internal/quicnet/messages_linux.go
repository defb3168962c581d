package quicnet

import (
	"encoding/binary"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Messages are sent and received by system calls that Go's scheduler does not see (RawSyscall).
// Such calls must never block, and these do not: if the socket has no data or no room, the call
// returns at once, and the goroutine waits in the network poller as usual. The cost saved is not
// that of the scheduler calls themselves: the runtime's monitor thread wakes up every 20 µs while a
// program makes visible system calls, which took a tenth of the CPU time of a QUIC server and a
// sixth of a client's. docs/decisions/0044-raw-socket-calls.md has the alternatives and
// measurements.

// messages makes a socket's system calls directly. If nil, the UDPConn is used instead.
type messages struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	v4   bool // the socket takes only IPv4 addresses; otherwise IPv6 and IPv4-mapped ones
}

// newMessages returns nil if the socket is not accessible.
func newMessages(c *net.UDPConn) *messages {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	m := &messages{conn: c, raw: raw}
	var local unix.Sockaddr
	err2 := raw.Control(func(fd uintptr) { local, err = unix.Getsockname(int(fd)) })
	if err != nil || err2 != nil {
		return nil
	}
	_, m.v4 = local.(*unix.SockaddrInet4)
	return m
}

// reader returns a reader of up to most messages per call, or plain if m is nil.
func (m *messages) reader(plain batchReader, most int) batchReader {
	if m == nil {
		return plain
	}
	r := &incoming{messages: m, headers: make([]header, most), froms: make([]unix.RawSockaddrInet6, most), data: make([]unix.Iovec, most)}
	r.receive = r.try
	return r
}

// header is the kernel's struct mmsghdr.
type header struct {
	unix.Msghdr
	length uint32
}

// incoming reads messages into one buffer each. Its fields are reused by every call.
type incoming struct {
	*messages
	headers []header
	froms   []unix.RawSockaddrInet6 // large enough for IPv4 and IPv6 addresses
	data    []unix.Iovec
	n       int // messages to read, then messages read
	flags   int
	err     error
	receive func(fd uintptr) bool // try as a method value, created once to avoid allocations

	last  unix.RawSockaddrInet6 // the address that known was made from
	known *net.UDPAddr
}

// ReadBatch waits for at least one message.
func (r *incoming) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	ms = ms[:min(len(ms), len(r.headers))]
	for i := range ms {
		r.data[i].Base = unsafe.SliceData(ms[i].Buffers[0])
		r.data[i].SetLen(len(ms[i].Buffers[0]))
		h := &r.headers[i]
		*h = header{}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&r.froms[i])), unix.SizeofSockaddrInet6
		h.Iov, h.Control = &r.data[i], unsafe.SliceData(ms[i].OOB)
		h.SetIovlen(1)
		h.SetControllen(len(ms[i].OOB))
	}
	r.n, r.flags = len(ms), flags|unix.MSG_DONTWAIT
	if err := r.raw.Read(r.receive); err != nil {
		return 0, err
	}
	if r.err != nil {
		return 0, &net.OpError{Op: "read", Net: "udp", Source: r.conn.LocalAddr(), Err: r.err}
	}
	for i := range ms[:r.n] {
		h := &r.headers[i]
		ms[i].N, ms[i].NN, ms[i].Flags = int(h.length), int(h.Controllen), int(h.Flags)
		ms[i].Addr = r.address(&r.froms[i])
	}
	return r.n, nil
}

// try reads without blocking. It returns false if the socket has no data.
func (r *incoming) try(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.headers))), uintptr(r.n), uintptr(r.flags), 0, 0)
		switch errno {
		case 0:
			r.n, r.err = int(n), nil
			return true
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			continue
		}
		r.n, r.err = 0, os.NewSyscallError("recvmmsg", errno)
		return true
	}
}

// address converts an address written by the kernel. It caches the last result, since consecutive
// messages mostly come from the same peer.
func (r *incoming) address(a *unix.RawSockaddrInet6) *net.UDPAddr {
	if r.known != nil && *a == r.last {
		return r.known
	}
	r.last = *a
	if a.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		r.known = &net.UDPAddr{IP: append(net.IP(nil), v4.Addr[:]...), Port: int(ordered(v4.Port))}
	} else {
		r.known = &net.UDPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: int(ordered(a.Port)), Zone: zone(a.Scope_id)}
	}
	return r.known
}

// ordered converts a port between host and network byte order.
func ordered(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// zone returns the name of the interface with an index.
func zone(index uint32) string {
	if index == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}

// outgoing is one message to send.
type outgoing struct {
	header unix.Msghdr
	data   unix.Iovec
	to     unix.RawSockaddrInet6
	n      int
	err    error
	send   func(fd uintptr) bool // try as a method value, created once
}

var outgoings = sync.Pool{New: func() any {
	o := new(outgoing)
	o.send = o.try
	return o
}}

// takes reports whether write can send to an address. Addresses with zones and incomplete ones are
// left to the net package.
func (m *messages) takes(to *net.UDPAddr) bool {
	return m != nil && to != nil && to.Zone == "" && len(to.IP) != 0 && (!m.v4 || to.IP.To4() != nil)
}

// write sends a message. It waits while the socket has no room.
func (m *messages) write(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	o, _ := outgoings.Get().(*outgoing)
	defer outgoings.Put(o)
	o.header = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&o.to)), Namelen: o.address(to, m.v4), Iov: &o.data, Control: unsafe.SliceData(oob)}
	o.header.SetIovlen(1)
	o.header.SetControllen(len(oob))
	o.data.Base = unsafe.SliceData(b)
	o.data.SetLen(len(b))
	err = m.raw.Write(o.send)
	o.header.Control, o.data.Base = nil, nil
	if err == nil {
		err = o.err
	}
	if err != nil {
		return 0, 0, &net.OpError{Op: "write", Net: "udp", Source: m.conn.LocalAddr(), Addr: to, Err: err}
	}
	return o.n, len(oob), nil
}

// address encodes an address for the kernel and returns its length.
func (o *outgoing) address(to *net.UDPAddr, v4 bool) uint32 {
	port := ordered(uint16(to.Port))
	if v4 {
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(&o.to))
		*a = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: [4]byte(to.IP.To4())}
		return unix.SizeofSockaddrInet4
	}
	o.to = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: [16]byte(to.IP.To16())}
	return unix.SizeofSockaddrInet6
}

// try sends without blocking. It returns false if the socket has no room.
func (o *outgoing) try(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&o.header)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			o.n, o.err = int(n), nil
			return true
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			continue
		}
		o.n, o.err = 0, os.NewSyscallError("sendmsg", errno)
		return true
	}
}
