package quicnet

import (
	"net"
	"os"
)

// bufferWarning is the only switch there is for a line that quic-go prints on
// standard error where the kernel grants less than 7 MiB of socket buffer. Less
// costs throughput and nothing else; docs/operations tells how to raise it.
const bufferWarning = "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING"

// Listen opens a UDP socket for QUIC at host:port. Its buffers are made as large
// as the kernel allows when the socket is used.
func Listen(address string) (*net.UDPConn, error) {
	if _, set := os.LookupEnv(bufferWarning); !set {
		if err := os.Setenv(bufferWarning, "true"); err != nil {
			return nil, err
		}
	}
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp", a)
}

// Socket opens a UDP socket for a connection to remote.
func Socket(remote *net.UDPAddr) (*net.UDPConn, error) {
	local := ":0"
	switch {
	case !remote.IP.IsLoopback():
	case remote.IP.To4() != nil:
		local = "127.0.0.1:0"
	default:
		local = "[::1]:0"
	}
	return Listen(local)
}
