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

// Messages are sent and received by system calls that Go's scheduler is not told of
// (RawSyscall). Such a call must never wait, and these do not: a socket that has nothing,
// or takes nothing, says so, and the goroutine waits for it like all others. What telling
// the scheduler costs is not the call itself: the runtime's monitor thread wakes up every
// 20 µs for as long as a program makes calls it is told of, which was a tenth of the
// processor time of a QUIC server and a sixth of that of a client.
// docs/decisions/0044-raw-socket-calls.md has the options and figures.

// messages are a socket's own system calls. A nil one leaves everything to the UDPConn.
type messages struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	v4   bool // the socket takes addresses of IPv4 only, else those of IPv6 and mapped ones
}

// newMessages returns nil where the socket cannot be had.
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

// reader returns what reads up to so many messages in one call; plain, where there are
// no messages.
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

// incoming reads messages into one buffer each. Its parts are those of one call.
type incoming struct {
	*messages
	headers []header
	froms   []unix.RawSockaddrInet6 // has room for any address of the internet
	data    []unix.Iovec
	n       int // messages to read, then those that were
	flags   int
	err     error
	receive func(fd uintptr) bool // try, bound once: a call allocates nothing

	last  unix.RawSockaddrInet6 // what known was made of
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

// try reads what there is. It returns false where there is nothing.
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

// address returns an address that the kernel has written. The last one is kept, as most
// messages are from the peer of the one before.
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

// ordered turns a port from the order of the network, or into it.
func ordered(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// zone names the interface that an address is of.
func zone(index uint32) string {
	if index == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}

// outgoing is one message that is sent.
type outgoing struct {
	header unix.Msghdr
	data   unix.Iovec
	to     unix.RawSockaddrInet6
	n      int
	err    error
	send   func(fd uintptr) bool // try, bound once
}

var outgoings = sync.Pool{New: func() any {
	o := new(outgoing)
	o.send = o.try
	return o
}}

// takes reports whether write can send to an address. Zones and what the net package
// makes of incomplete addresses are left to it.
func (m *messages) takes(to *net.UDPAddr) bool {
	return m != nil && to != nil && to.Zone == "" && len(to.IP) != 0 && (!m.v4 || to.IP.To4() != nil)
}

// write sends a message, and waits while the socket has no room for it.
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

// address writes the address for the kernel, and returns its length.
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

// try sends. It returns false where the socket has no room.
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
