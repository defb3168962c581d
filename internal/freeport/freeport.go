// Package freeport hands out ports of loopback to programs that start a server and
// must know its address beforehand: tests, the demo and the benchmarks.
//
// A port that the kernel picks for port 0 is not safe for this: it lies in the range
// from which outgoing connections get theirs, so that one of these may have taken it
// before the server binds it, or while the server is restarted.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range lies below the ports of outgoing connections: 32768 and up on Linux
// (net.ipv4.ip_local_port_range), 49152 and up elsewhere.
const (
	first = 12000
	last  = 31999
	tries = 200
)

var (
	mu    sync.Mutex
	holds []net.Listener // one for each port handed out; open until the process ends
)

// Address returns an address of 127.0.0.1 whose port is free for UDP and TCP. No
// other caller is given it while this process lives. It is safe for concurrent use.
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

// reserve takes a port for this process, if it is free.
func reserve(number int) (addr string, ok bool) {
	port := strconv.Itoa(number)
	// A name in the abstract namespace of Linux (unix(7)) belongs to one process at a
	// time, and goes with it.
	hold, err := net.Listen("unix", "@sluice-port-"+port)
	if err != nil {
		return "", false
	}
	if addr = net.JoinHostPort("127.0.0.1", port); !free(addr) {
		_ = hold.Close() // nobody was given the port
		return "", false
	}
	holds = append(holds, hold)
	return addr, true
}

// free tells whether a server could bind addr now.
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
