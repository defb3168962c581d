package quicnet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// opened returns a socket that is closed at the end of the test. Its reads time out.
func opened(t testing.TB, address string) *Socket {
	t.Helper()
	s, err := Config{ReceiveOffload: true}.Listen(address)
	if err != nil {
		if strings.HasPrefix(address, "[") {
			t.Skipf("no IPv6 here: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if s.messages == nil {
		t.Fatal("the socket's own system calls are not used")
	}
	if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return s
}

func roomFor(n int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i].Buffers, ms[i].OOB = [][]byte{make([]byte, 2048)}, make([]byte, 128)
	}
	return ms
}

// one reads one datagram.
func one(t testing.TB, s *Socket) (string, *net.UDPAddr) {
	t.Helper()
	ms := roomFor(1)
	if n, err := s.ReadBatch(ms, 0); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	from, _ := ms[0].Addr.(*net.UDPAddr)
	if from == nil {
		t.Fatalf("from %v", ms[0].Addr)
	}
	return string(ms[0].Buffers[0][:ms[0].N]), from
}

func write(t testing.TB, s *Socket, text string, oob []byte, to *net.UDPAddr) {
	t.Helper()
	if n, oobn, err := s.WriteMsgUDP([]byte(text), oob, to); n != len(text) || oobn != len(oob) || err != nil {
		t.Fatalf("wrote %d and %d of %d and %d, %v", n, oobn, len(text), len(oob), err)
	}
}

// A message arrives, and so does a reply to its source address, for single-family and dual-stack
// sockets.
func TestMessagesFindTheirWay(t *testing.T) {
	for _, tc := range []struct{ server, client, to string }{
		{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
		{"[::1]:0", "[::1]:0", "::1"},
		{":0", "127.0.0.1:0", "127.0.0.1"},
		{":0", "[::1]:0", "::1"},
		{"127.0.0.1:0", ":0", "127.0.0.1"},
		{"127.0.0.1:0", "127.0.0.1:0", "::ffff:127.0.0.1"},
	} {
		t.Run(tc.client+" to "+tc.server, func(t *testing.T) {
			server, client := opened(t, tc.server), opened(t, tc.client)
			port := server.LocalAddr().(*net.UDPAddr).Port
			write(t, client, "question", nil, &net.UDPAddr{IP: net.ParseIP(tc.to), Port: port})
			text, from := one(t, server)
			if text != "question" || from.Port != client.LocalAddr().(*net.UDPAddr).Port || !from.IP.Equal(net.ParseIP(tc.to)) {
				t.Fatalf("got %q from %v", text, from)
			}
			write(t, server, "answer", nil, from)
			if text, from := one(t, client); text != "answer" || from.Port != port || !from.IP.Equal(net.ParseIP(tc.to)) {
				t.Fatalf("got %q from %v", text, from)
			}
		})
	}
}

// The cached address is not used for another peer.
func TestMessagesOfManyPeers(t *testing.T) {
	server := opened(t, "127.0.0.1:0")
	var peers []*Socket
	for range 3 {
		peers = append(peers, opened(t, "127.0.0.1:0"))
	}
	to := server.LocalAddr().(*net.UDPAddr)
	var before []*net.UDPAddr
	for i := range 30 {
		p := peers[i*i%3]
		write(t, p, "x", nil, to)
		_, from := one(t, server)
		if want := p.LocalAddr().String(); from.String() != want {
			t.Fatalf("from %v, want %v", from, want)
		}
		before = append(before, from)
	}
	for i, from := range before {
		if want := peers[i*i%3].LocalAddr().String(); from.String() != want {
			t.Errorf("an address handed out before has become %v, want %v", from, want)
		}
	}
}

// Control messages are sent too: the kernel splits the data as one of them says, and reports the
// ECN bits at the other end.
func TestMessagesHaveControls(t *testing.T) {
	server, client := opened(t, "127.0.0.1:0"), opened(t, "127.0.0.1:0")
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	segments := control(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 4, 0)
	write(t, client, "aaaabbbbcc", append(segments, control(unix.IPPROTO_IP, unix.IP_TOS, 2, 0, 0, 0)...), server.LocalAddr().(*net.UDPAddr))
	var got []string
	for len(got) < 3 {
		ms := roomFor(8)
		n, err := server.ReadBatch(ms, 0)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		for _, m := range ms[:n] {
			got = append(got, string(m.Buffers[0][:m.N]))
			if tos := control(unix.IPPROTO_IP, unix.IP_TOS, 2); !bytes.Equal(m.OOB[:m.NN], tos) {
				t.Errorf("controls %x, want %x", m.OOB[:m.NN], tos)
			}
		}
	}
	if strings.Join(got, " ") != "aaaa bbbb cc" {
		t.Errorf("got %q", got)
	}
}

// Errors are those that quic-go checks for.
func TestMessagesThatFail(t *testing.T) {
	s := opened(t, "127.0.0.1:0")
	to := s.LocalAddr().(*net.UDPAddr)
	_, _, err := s.WriteMsgUDP(make([]byte, 70<<10), nil, to)
	var call *os.SyscallError
	if !errors.Is(err, unix.EMSGSIZE) || !errors.As(err, &call) || call.Syscall != "sendmsg" {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := s.WriteMsgUDP([]byte("x"), nil, &net.UDPAddr{IP: net.IPv6loopback, Port: 1}); err == nil {
		t.Error("a socket of IPv4 has sent to ::1")
	}
	if err := s.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	_, err = s.ReadBatch(roomFor(1), 0)
	var temporary interface{ Temporary() bool }
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &temporary) || !temporary.Temporary() {
		t.Errorf("past the deadline: %v", err)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.ReadBatch(roomFor(1), 0)
		ended <- err
	}()
	s.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed socket: %v", err)
	}
	if _, _, err := s.WriteMsgUDP([]byte("x"), nil, to); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to a closed socket: %v", err)
	}
}

// Messages can be sent concurrently.
func TestMessagesAtOnce(t *testing.T) {
	server, client := opened(t, "127.0.0.1:0"), opened(t, "127.0.0.1:0")
	to := server.LocalAddr().(*net.UDPAddr)
	const senders, each = 8, 50
	if err := server.SetReadBuffer(4 << 20); err != nil { // room for all, so that nothing is dropped
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				text := fmt.Sprintf("%d %d %s", i, j, strings.Repeat(string(rune('a'+i)), 100*i))
				if _, _, err := client.WriteMsgUDP([]byte(text), nil, to); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := make([]int, senders)
	for range senders * each {
		text, _ := one(t, server)
		var i, j int
		if _, err := fmt.Sscan(text, &i, &j); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := fmt.Sprintf("%d %d %s", i, next[i], strings.Repeat(string(rune('a'+i)), 100*i)); text != want {
			t.Fatalf("got %.20q, want %.20q", text, want)
		}
		next[i]++
	}
	wg.Wait()
}

// Sending and receiving do not allocate while the peer stays the same.
func TestMessagesAllocateNothing(t *testing.T) {
	server, client := opened(t, "127.0.0.1:0"), opened(t, "127.0.0.1:0")
	to := server.LocalAddr().(*net.UDPAddr)
	block, ms := make([]byte, 1200), roomFor(8)
	if n := testing.AllocsPerRun(200, func() {
		if _, _, err := client.WriteMsgUDP(block, nil, to); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ReadBatch(ms, 0); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations for a datagram", n)
	}
}
