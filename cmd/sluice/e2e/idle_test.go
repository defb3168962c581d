package e2e

import (
	be "encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// from connects to the broker from a loopback address and sends ApiVersions. served reports whether
// it was answered.
func from(t *testing.T, b *broker, ip string) (nc net.Conn, served bool) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 20 * time.Second}
	nc, err := d.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	r := kmsg.NewPtrApiVersionsRequest()
	if _, err := nc.Write(requestFrame(r)); err != nil {
		return nc, false
	}
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nc, false
	}
	_, err = io.CopyN(io.Discard, nc, int64(be.BigEndian.Uint32(head[:])))
	return nc, err == nil
}

// More than a thousand idle connections use little memory, which the memory map shows, and little
// processor time. A single address cannot use up all connections.
func TestIdleConnectionsCostLittle(t *testing.T) {
	const limit, each = 24 << 20, 12 << 10
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[memory]
connection_bytes = %d
[admin]
listen = %q
`, dir, addr, limit, admin), admin)
	b.dir, b.addr = dir, addr
	b.must("", "topic", "create", "t", "--transport", "tcp")
	taken := func() float64 {
		return b.metric("go_memstats_heap_alloc_bytes") + b.metric("go_memstats_stack_inuse_bytes")
	}
	before, n := taken(), 0
	for {
		if _, served := from(t, b, "127.0.0.1"); !served {
			break
		}
		n++
	}
	if want := limit * 3 / 4 / each; n < want-20 || n > want {
		t.Errorf("one address has %d connections, want nearly %d", n, want)
	}
	if used := b.metric("sluice_memory_bytes", `"connections"`); used < float64(n*each) || used > limit {
		t.Errorf("%d connections are charged with %.0f bytes", n, used)
	}
	if b.metric("sluice_listener_refused_total", `"memory"`) == 0 {
		t.Error("no connection is counted as refused")
	}
	until(t, b, "idle connections take little", 30*time.Second, func() bool {
		b.collectGarbage()
		return (taken()-before)/float64(n) < 20<<10
	})
	cpu, began := b.metric("process_cpu_seconds_total"), time.Now()
	time.Sleep(2 * time.Second) // the interval measured
	if used := (b.metric("process_cpu_seconds_total") - cpu) / time.Since(began).Seconds(); used > 0.3 {
		t.Errorf("they take %.2f processors", used)
	}
	if _, served := from(t, b, "127.0.0.2"); !served {
		t.Error("another address is refused")
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.3")}}
	cl := b.client(kgo.Dialer(d.DialContext))
	if err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
		t.Error(err)
	}
}

// collectGarbage forces garbage collections in the broker's process.
func (b *broker) collectGarbage() {
	b.t.Helper()
	for range 3 {
		resp, err := http.Get("http://" + b.admin + "/debug/pprof/heap?gc=1")
		if err != nil {
			b.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
