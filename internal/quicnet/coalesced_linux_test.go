package quicnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// message returns a message as read from the kernel.
func message(data []byte, flags int, controls ...[]byte) ipv4.Message {
	oob := slices.Concat(controls...)
	return ipv4.Message{Buffers: [][]byte{data}, OOB: oob, N: len(data), NN: len(oob), Flags: flags, Addr: &net.UDPAddr{Port: 1}}
}

func control(level, kind int32, body ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(body)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(body))))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	copy(b[unix.CmsgLen(0):], body)
	return b
}

func size(n int) []byte {
	return control(unix.IPPROTO_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint32(nil, uint32(n))...)
}

func TestSplit(t *testing.T) {
	ecn := control(unix.IPPROTO_IP, unix.IP_TOS, 2)
	info := control(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, make([]byte, 20)...)
	for _, tc := range []struct {
		name    string
		m       ipv4.Message
		want    []string
		control []byte
		whole   bool
	}{
		{"alone", message([]byte("abcdef"), 0, ecn), []string{"abcdef"}, ecn, true},
		{"without controls", message([]byte("abcdef"), 0), []string{"abcdef"}, nil, true},
		{"empty", message(nil, 0, ecn), nil, ecn, true},
		{"even", message([]byte("abcdef"), 0, size(3), ecn), []string{"abc", "def"}, ecn, true},
		{"a shorter last one", message([]byte("abcdefg"), 0, ecn, size(3), info), []string{"abc", "def", "g"}, slices.Concat(ecn, info), true},
		{"a size of all", message([]byte("abc"), 0, size(3)), []string{"abc"}, nil, true},
		{"a size of more", message([]byte("abc"), 0, size(9)), []string{"abc"}, nil, true},
		{"data cut off", message([]byte("abcdefg"), unix.MSG_TRUNC, size(3), ecn), []string{"abc", "def"}, ecn, false},
		{"data cut off at a border", message([]byte("abcdef"), unix.MSG_TRUNC, size(3)), []string{"abc", "def"}, nil, false},
		{"data of one cut off", message([]byte("abcdef"), unix.MSG_TRUNC, ecn), nil, ecn, false},
		{"controls cut off after the size", message([]byte("abcdef"), unix.MSG_CTRUNC, size(3), ecn), []string{"abc", "def"}, nil, true},
		{"controls cut off, no size", message([]byte("abcdef"), unix.MSG_CTRUNC, ecn), nil, nil, false},
		{"a size cut off", message([]byte("abcdef"), unix.MSG_CTRUNC, control(unix.IPPROTO_UDP, unix.UDP_GRO, 3, 0)), nil, nil, false},
		{"no size", message([]byte("abcdef"), 0, size(0)), nil, nil, false},
		{"a size below nothing", message([]byte("abcdef"), 0, size(-1)), nil, nil, false},
		{"not a control message", message([]byte("abcdef"), 0, []byte{1, 2, 3}), nil, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, whole := split(&tc.m)
			if whole != tc.whole || !bytes.Equal(p.control, tc.control) {
				t.Errorf("whole %t, controls %x; want %t, %x", whole, p.control, tc.whole, tc.control)
			}
			var got []string
			for d := p.take(); d != nil; d = p.take() {
				got = append(got, string(d))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Whatever the control messages contain, the datagrams are consecutive parts of the data.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("abcdefg"), slices.Concat(size(3), control(unix.IPPROTO_IP, unix.IP_TOS, 2)), 0)
	f.Add([]byte("abc"), []byte{1, 2}, int(unix.MSG_CTRUNC))
	f.Add([]byte("abc"), size(2), int(unix.MSG_TRUNC))
	f.Fuzz(func(t *testing.T, data, oob []byte, flags int) {
		m := ipv4.Message{Buffers: [][]byte{data}, OOB: slices.Clone(oob), N: len(data), NN: len(oob), Flags: flags}
		p, whole := split(&m)
		var all []byte
		for d := p.take(); d != nil; d = p.take() {
			all = append(all, d...)
		}
		if !bytes.HasPrefix(data, all) || whole && len(all) != len(data) {
			t.Errorf("%d bytes of %d, whole %t", len(all), len(data), whole)
		}
		if len(p.control) > len(oob) {
			t.Errorf("%d bytes of controls of %d", len(p.control), len(oob))
		}
	})
}

// script is a batchReader with prepared reads.
type script struct{ reads [][]ipv4.Message }

func (s *script) ReadBatch(ms []ipv4.Message, _ int) (int, error) {
	if len(s.reads) == 0 {
		return 0, io.EOF
	}
	now := s.reads[0]
	s.reads = s.reads[1:]
	for i, m := range now {
		ms[i].N, ms[i].NN = copy(ms[i].Buffers[0], m.Buffers[0]), copy(ms[i].OOB, m.OOB)
		ms[i].Flags, ms[i].Addr = m.Flags, m.Addr
	}
	return len(now), nil
}

func batch(n, bytes int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i].Buffers, ms[i].OOB = [][]byte{make([]byte, bytes)}, make([]byte, 128)
	}
	return ms
}

// Datagrams that do not fit into a batch are returned with the next. A read without data for QUIC
// is followed by another read, since quic-go would take an empty batch for a packet.
func TestReadBatchHandsOutAll(t *testing.T) {
	for _, room := range []int{1, 2, 3, 8, 100} {
		s := &script{reads: [][]ipv4.Message{
			{message([]byte("aabbccd"), 0, size(2)), message([]byte("e"), 0)},
			{message(nil, 0), message([]byte("lost"), unix.MSG_TRUNC), message([]byte("longer than a packet"), 0)},
			{message([]byte("ff"), 0), message([]byte("gghhi"), 0, size(2)), message([]byte("longer than a packet, k"), 0, size(22))},
		}}
		var stats SocketStats
		r := newCoalesced(s, &stats)
		var got []string
		for {
			ms := batch(room, 4)
			n, err := r.ReadBatch(ms, 0)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || n == 0 {
				t.Fatalf("%d messages, %v", n, err)
			}
			for _, m := range ms[:n] {
				got = append(got, string(m.Buffers[0][:m.N]))
			}
		}
		if want := []string{"aa", "bb", "cc", "d", "e", "ff", "gg", "hh", "i", "k"}; !slices.Equal(got, want) {
			t.Errorf("room for %d: got %q", room, got)
		}
		if stats.Reads.Load() != 3 || stats.Coalesced.Load() != 3 || stats.Datagrams.Load() != 10 || stats.Dropped.Load() != 3 {
			t.Errorf("%d reads, %d coalesced, %d datagrams, %d dropped", stats.Reads.Load(), stats.Coalesced.Load(), stats.Datagrams.Load(), stats.Dropped.Load())
		}
	}
}

// open opens a socket set up like quic-go's: with ECN bits and packet info.
func open(t *testing.T, address string, offload bool) *Socket {
	t.Helper()
	cfg := DefaultConfig()
	cfg.ReceiveOffload = offload
	s, err := cfg.Listen(address)
	if err != nil {
		t.Skipf("%s: %v", address, err) // a machine without IPv6
	}
	t.Cleanup(func() { s.Close() })
	if s.Coalesces() != offload {
		t.Fatalf("it coalesces: %t, asked for %t", s.Coalesces(), offload)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		for _, o := range [][2]int{{unix.IPPROTO_IP, unix.IP_RECVTOS}, {unix.IPPROTO_IP, unix.IP_PKTINFO},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}, {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}} {
			_ = unix.SetsockoptInt(int(fd), o[0], o[1], 1) // one family may be missing
		}
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) // as much as is allowed
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// sent is one system call: a number of bytes, sent in datagrams of size.
type sent struct{ bytes, size int }

// send sends with segmentation and ECN bits 10 (RFC 3168).
func send(t *testing.T, c *net.UDPConn, to *net.UDPAddr, s sent, next *byte) (datagrams [][]byte) {
	t.Helper()
	data := make([]byte, s.bytes)
	for rest := data; len(rest) > 0; {
		n := min(s.size, len(rest))
		for i := range rest[:n] {
			rest[i] = *next
		}
		*next++
		datagrams = append(datagrams, rest[:n])
		rest = rest[n:]
	}
	level, kind := int32(unix.IPPROTO_IP), int32(unix.IP_TOS)
	if to.IP.To4() == nil {
		level, kind = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	oob := control(level, kind, 2, 0, 0, 0)
	if s.size < s.bytes {
		oob = append(oob, control(unix.IPPROTO_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, uint16(s.size))...)...)
	}
	if _, _, err := c.WriteMsgUDP(data, oob, to); err != nil {
		t.Fatal(err)
	}
	return datagrams
}

// Senders send many datagrams in one call, of equal and of different sizes, over both families, to
// single-family and dual-stack sockets: the same datagrams are received.
func TestDatagramsOfSegmentingSenders(t *testing.T) {
	sends := []sent{{12_000, 1200}, {1200, 1200}, {3700, 1200}, {1, 1}, {40, 40}, {20_480, 1452}, {64, 1}, {1452, 1452}, {2904, 1452}, {60_000, 1250}, {7, 3}}
	for _, tc := range []struct{ listen, from, to string }{
		{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "[::1]:0", "::1"},
		{":0", "127.0.0.1:0", "127.0.0.1"}, {":0", "[::1]:0", "::1"}, {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.1"},
	} {
		for _, offload := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s to %s, offload %t", tc.from, tc.listen, offload), func(t *testing.T) {
				s := open(t, tc.listen, offload)
				client, err := net.ListenPacket("udp", tc.from)
				if err != nil {
					t.Skip(err)
				}
				defer client.Close()
				to := &net.UDPAddr{IP: net.ParseIP(tc.to), Port: s.LocalAddr().(*net.UDPAddr).Port}
				var next byte
				for _, one := range sends {
					want := send(t, client.(*net.UDPConn), to, one, &next)
					receive(t, s, want, client.LocalAddr().(*net.UDPAddr), to.IP)
				}
				if reads := s.Stats().Reads.Load(); offload && reads > int64(len(sends)) {
					t.Errorf("%d reads for %d sends: nothing is coalesced", reads, len(sends))
				}
				if n, d := s.Stats().Datagrams.Load(), s.Stats().Dropped.Load(); n != int64(next) || d != 0 {
					t.Errorf("%d datagrams of %d, %d dropped", n, next, d)
				}
			})
		}
	}
}

// receive reads datagrams as quic-go does and compares them with those sent.
func receive(t *testing.T, s *Socket, want [][]byte, from *net.UDPAddr, to net.IP) {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	ms := batch(8, 1452)
	for len(want) > 0 {
		n, err := s.ReadBatch(ms, 0)
		if err != nil || n > len(want) {
			t.Fatalf("%d datagrams and %v, %d are missing", n, err, len(want))
		}
		for i := range ms[:n] {
			m := &ms[i]
			if !bytes.Equal(m.Buffers[0][:m.N], want[i]) {
				t.Fatalf("got %d bytes of %d, want %d of %d", m.N, m.Buffers[0][0], len(want[i]), want[i][0])
			}
			a := m.Addr.(*net.UDPAddr)
			if !a.IP.Equal(from.IP) || a.Port != from.Port {
				t.Fatalf("it came from %s, was sent from %s", a, from)
			}
			checkControls(t, m.OOB[:m.NN], to)
		}
		want = want[n:]
	}
}

// checkControls checks that the control messages have the ECN bits and the destination address, and
// none that quic-go does not expect.
func checkControls(t *testing.T, b []byte, to net.IP) {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	var ecn byte
	var ip net.IP
	for _, m := range messages {
		switch h := m.Header; {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS, h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS:
			ecn = m.Data[0] & 3
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
			ip = net.IP(m.Data[8:12])
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
			ip = net.IP(m.Data[:16])
		default:
			t.Errorf("a control message of level %d, type %d", h.Level, h.Type)
		}
	}
	if ecn != 2 || !ip.Equal(to) {
		t.Fatalf("ECN bits %d, sent to %s; want 2, %s", ecn, ip, to)
	}
}

// A read ends at its deadline, and when the socket is closed.
func TestReadBatchEnds(t *testing.T) {
	s := open(t, "127.0.0.1:0", true)
	if err := s.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ReadBatch(batch(8, 1452), 0); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d messages, %v", n, err)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() {
		_, err := s.ReadBatch(batch(8, 1452), 0)
		over <- err
	}()
	s.Close()
	if err := <-over; !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}
