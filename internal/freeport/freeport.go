// Package freeport allocates loopback ports for programs that start a server and must know its
// address beforehand: tests, the demo and the benchmarks.
//
// A port chosen by the kernel for port 0 is not safe for this: it is in the range of outgoing
// connections, so one of them may take it before the server binds it, or while the server
// restarts.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range is below the ports of outgoing connections: 32768 and up on Linux
// (net.ipv4.ip_local_port_range), 49152 and up elsewhere.
const (
	first = 12000
	last  = 31999
	tries = 200
)

var (
	mu    sync.Mutex
	holds []net.Listener // one per allocated port; open until the process exits
)

// Address returns an address on 127.0.0.1 whose port is free for UDP and TCP. It is not
// returned to any other caller while this process lives. It is safe for concurrent use.
func Address() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	for range tries {
		if addr, ok := reserve(first + rand.IntN(last-first+1)); ok {
			return addr, nil
		}
	}
	return "", errors.New("no port of 127.0.0.1 is free for both UDP and TCP")
}

// reserve reserves a port for this process, if it is free.
func reserve(number int) (addr string, ok bool) {
	port := strconv.Itoa(number)
	// A name in Linux's abstract namespace (unix(7)) belongs to one process at a time, and is
	// released when that exits.
	hold, err := net.Listen("unix", "@sluice-port-"+port)
	if err != nil {
		return "", false
	}
	if addr = net.JoinHostPort("127.0.0.1", port); !free(addr) {
		_ = hold.Close() // the port was not handed out
		return "", false
	}
	holds = append(holds, hold)
	return addr, true
}

// free reports whether a server could bind addr now.
func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return p.Close() == nil
}
