package e2e

import (
	enc "encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// begun sends the first 14 bytes of a request frame of the given size, and nothing more.
func (b *broker) begun(key, version int16, size int) net.Conn {
	b.t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	head := enc.BigEndian.AppendUint32(nil, uint32(size))
	head = enc.BigEndian.AppendUint16(head, uint16(key))
	head = enc.BigEndian.AppendUint16(head, uint16(version))
	if _, err := c.Write(append(head, 0, 0, 0, 1, 0xff, 0xff)); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// othersP99 returns the p99 latencies of n small Produce requests and of n ApiVersions requests on new
// connections.
func (b *broker) othersP99(topic string, n int) (produce, versions time.Duration) {
	b.t.Helper()
	w := b.dial(produceFrame(topic, 0, 1, randomBatch(b.t, 100)))
	_ = w.conn.SetDeadline(time.Now().Add(time.Minute))
	var produced, asked []time.Duration
	for range n {
		began := time.Now()
		if err := w.send(); err != nil {
			b.t.Fatal(err)
		}
		if err := w.receive(); err != nil {
			b.t.Fatal(err)
		}
		produced = append(produced, time.Since(began))
		asked = append(asked, b.askVersions())
	}
	p99 := func(d []time.Duration) time.Duration {
		slices.Sort(d)
		return d[len(d)*99/100]
	}
	return p99(produced), p99(asked)
}

func (b *broker) askVersions() time.Duration {
	b.t.Helper()
	began := time.Now()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)); err != nil {
		b.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		b.t.Fatal(err)
	}
	return time.Since(began)
}

func TestFramesThatStandStillHoldUpNobody(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t", "--partitions", "1")
	for name, begin := range map[string]func(){
		"two of Produce, 60 MiB": func() { b.begun(0, 8, 60<<20); b.begun(0, 8, 60<<20) },
		"one of Metadata, 8 MiB": func() { b.begun(3, 8, 8<<20) },
		"200 of Produce, 60 MiB": func() {
			for range 200 {
				b.begun(0, 8, 60<<20)
			}
		},
		"200 of Metadata, 8 MiB": func() {
			for range 200 {
				b.begun(3, 8, 8<<20)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			begin()
			produce, versions := b.othersP99("t", 200)
			t.Logf("others' p99: produce %v, ApiVersions on a new connection %v", produce, versions)
			if max(produce, versions) > 2*time.Second {
				t.Errorf("others waited: produce %v, ApiVersions %v", produce, versions)
			}
		})
	}
}
