package freeport

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Ports are free for both protocols, distinct, and outside the ephemeral range.
func TestAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addr, err := Address()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] {
			t.Errorf("%s was handed out twice", addr)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_, text, _ := net.SplitHostPort(addr)
		if port, _ := strconv.Atoi(text); port >= outgoing(t) {
			t.Errorf("port %d may be taken by an outgoing connection", port)
		}
	}
}

// outgoing returns the lowest port of the ephemeral range.
func outgoing(t *testing.T) int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return last + 1 // not Linux
	}
	low, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	if low <= last {
		t.Skipf("this machine gives outgoing connections ports from %d on", low)
	}
	return low
}

// A port allocated to one process is not allocated to another.
func TestPortsOfAnotherProcess(t *testing.T) {
	if port := os.Getenv("FREEPORT_TEST_PORT"); port != "" {
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := reserve(number); ok {
			t.Errorf("port %d was handed out by two processes", number)
		}
		return
	}
	for range 3 {
		addr, err := Address()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(addr)
		cmd := exec.Command(os.Args[0], "-test.run=^TestPortsOfAnotherProcess$")
		cmd.Env = append(os.Environ(), "FREEPORT_TEST_PORT="+port)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
