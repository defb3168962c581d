package quicnet

import (
	"net"

	"golang.org/x/sys/unix"
)

// ReportRefused makes a socket fail when the other machine says that nobody
// listens on the port, which else a dial learns from silence only. It is for the
// time of a handshake: later on, whoever can forge an ICMP message could end the
// connection with it (RFC 9000, section 21.7).
func ReportRefused(c *Socket, on bool) {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if a, ok := c.LocalAddr().(*net.UDPAddr); ok && a.IP.To4() == nil {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	value := 0
	if on {
		value = 1
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, option, value) }) // refused is only faster
}
