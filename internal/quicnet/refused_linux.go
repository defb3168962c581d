package quicnet

import (
	"net"

	"golang.org/x/sys/unix"
)

// ReportRefused makes reads of a socket fail if the remote host reports that nothing listens on
// the port. Otherwise a dial only times out. Enable it only during the handshake: later, anyone
// who can forge an ICMP message could end the connection (RFC 9000, section 21.7).
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
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, option, value) }) // without it a refusal just takes longer to notice
}
