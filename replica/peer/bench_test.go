package peer

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// source is a leader's driver that has n batches of one size to send, or of those that are due.
type source struct {
	batch []byte
	left  atomic.Int64
	next  int64
	heard func(end int64)
}

func (s *source) Connected(int32)    {}
func (s *source) Disconnected(int32) {}
func (s *source) Heard(_ int32, _ topic.Partition, m replication.Message) {
	s.heard(m.Position.End)
}
func (s *source) Records(int32, topic.Partition, replication.Records, []byte, func()) {}

func (s *source) Next(_ int32, limit int) (topic.Partition, replication.Records, [][]byte, func(), bool) {
	n := min(s.left.Load(), int64(max(limit/len(s.batch), 1)))
	if n == 0 {
		return topic.Partition{}, replication.Records{}, nil, nil, false
	}
	s.left.Add(-n)
	data := make([][]byte, n)
	for i := range data {
		data[i] = s.batch
	}
	s.next += n
	return partA, replication.Records{Epoch: 1, Base: s.next - n, End: s.next}, data, func() {}, true
}

// sink is a follower's driver that acknowledges at once.
type sink struct {
	p    *Peers
	got  atomic.Int64 // bytes
	want int64
	done chan struct{}
}

func (s *sink) Connected(int32)                                   {}
func (s *sink) Disconnected(int32)                                {}
func (s *sink) Heard(int32, topic.Partition, replication.Message) {}
func (s *sink) Next(int32, int) (p topic.Partition, h replication.Records, d [][]byte, r func(), ok bool) {
	return
}

func (s *sink) Records(from int32, p topic.Partition, h replication.Records, batches []byte, release func()) {
	n := int64(len(batches))
	release()
	s.p.Send(from, p, replication.Message{Position: &replication.Position{Epoch: 1, End: h.End, LastEpoch: 1}})
	if s.got.Add(n) == s.want {
		close(s.done)
	}
}

// nodes returns settings with certificates of brokers 1 and 2.
func nodes(tb testing.TB) (one, two *certs.Internal) {
	dir := tb.TempDir()
	var all []*certs.Internal
	for _, id := range []int32{1, 2} {
		n := certs.Node{ID: id, Roles: []certs.Role{certs.RoleBroker}}
		f, err := certs.EnsureNode(dir, n)
		if err != nil {
			tb.Fatal(err)
		}
		i, err := certs.NewInternal(f, n, slog.New(slog.DiscardHandler))
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, i)
	}
	return all[0], all[1]
}

// bench connects a source to a sink.
func bench(b *testing.B, encrypted bool, frame int, src *source, dst *sink) *Peers {
	b.Helper()
	one := func(o *Options) {
		o.Local, o.Config.FrameBytes = src, frame
		o.Config.FollowerWindowBytes = max(o.Config.FollowerWindowBytes, int64(4*frame))
	}
	two := func(o *Options) { one(o); o.Local = dst }
	if encrypted {
		n1, n2 := nodes(b)
		plain1, plain2 := one, two
		one = func(o *Options) { plain1(o); o.TLS = n1 }
		two = func(o *Options) { plain2(o); o.TLS = n2 }
	}
	leader, follower := newSide(b, 1, 1, one), newSide(b, 2, 1, two)
	dst.p = follower.Peers
	leader.Update([]Broker{{ID: 2, Incarnation: 1}})
	follower.Update([]Broker{{ID: 1, Incarnation: 1, Address: leader.addr}})
	wait(b, "they are connected", func() bool { return leader.followers.get(2) != nil && follower.leaders.get(1) != nil })
	return leader.Peers
}

// cpu returns the CPU time of this process, thus of both ends.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports bytes per second and CPU time per GB of work.
func measure(b *testing.B, size int, work func(n int)) {
	b.SetBytes(int64(size))
	before := cpu()
	b.ResetTimer()
	work(b.N)
	b.StopTimer()
	b.ReportMetric((cpu()-before).Seconds()*1e9/float64(b.N)/float64(size), "cpu-s/GB")
}

var frames = []int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

// BenchmarkStream: one stream on loopback with batches as large as a frame.
func BenchmarkStream(b *testing.B) {
	for _, encrypted := range []bool{true, false} {
		for _, size := range frames {
			b.Run(fmt.Sprintf("tls=%v/frame=%d", encrypted, size), func(b *testing.B) {
				src := &source{batch: make([]byte, size-200), heard: func(int64) {}}
				dst := &sink{done: make(chan struct{}), want: int64(b.N) * int64(size-200)}
				leader := bench(b, encrypted, size, src, dst)
				measure(b, size-200, func(n int) {
					src.left.Store(int64(n))
					leader.Wake(2)
					<-dst.done
				})
			})
		}
	}
}

// BenchmarkSocket is the least that the same bytes can cost: a bare socket, with and without TLS.
func BenchmarkSocket(b *testing.B) {
	for _, encrypted := range []bool{true, false} {
		for _, size := range frames {
			b.Run(fmt.Sprintf("tls=%v/write=%d", encrypted, size), func(b *testing.B) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				one, two := nodes(b)
				if encrypted {
					l = tls.NewListener(l, one.Server(certs.RoleBroker))
				}
				got := make(chan int64)
				go func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					n, _ := io.CopyBuffer(onlyWriter{}, c, make([]byte, 128<<10))
					got <- n
				}()
				var c net.Conn
				if c, err = net.Dial("tcp", l.Addr().String()); err != nil {
					b.Fatal(err)
				}
				if encrypted {
					c = tls.Client(c, two.Client(certs.RoleBroker, 1))
				}
				buf := make([]byte, size)
				measure(b, size, func(n int) {
					for range n {
						if _, err := c.Write(buf); err != nil {
							b.Fatal(err)
						}
					}
					c.Close()
					if have := <-got; have != int64(n)*int64(size) {
						b.Fatalf("%d of %d bytes", have, n*size)
					}
				})
			})
		}
	}
}

// onlyWriter hides the ways in which io.Copy would avoid reading.
type onlyWriter struct{}

func (onlyWriter) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkAcknowledgement sends batches of 16 KiB at a fixed rate, in MB/s, and reports how long it takes until the
// leader has heard that the follower has them. The follower's disk costs nothing here.
func BenchmarkAcknowledgement(b *testing.B) {
	for _, rate := range []int{1, 100, 200, 300, 400} {
		b.Run(fmt.Sprintf("MBps=%d", rate), func(b *testing.B) {
			const size = 16 << 10
			sent := make([]int64, b.N)
			took := make([]time.Duration, b.N)
			src := &source{batch: make([]byte, size)}
			dst := &sink{done: make(chan struct{}), want: int64(b.N) * size}
			all := make(chan struct{})
			var leader *Peers
			acked := int64(0)
			src.heard = func(end int64) {
				for now := leader.now(); acked < end; acked++ {
					took[acked] = time.Duration(now - atomic.LoadInt64(&sent[acked]))
				}
				if acked == int64(b.N) {
					close(all)
				}
			}
			leader = bench(b, true, 256<<10, src, dst)
			measure(b, size, func(n int) {
				step := time.Duration(float64(size) / float64(rate) * 1000) // ns
				began := time.Now()
				for i := range n {
					if ahead := time.Duration(i)*step - time.Since(began); ahead > 200*time.Microsecond {
						time.Sleep(ahead)
					}
					atomic.StoreInt64(&sent[i], leader.now())
					src.left.Add(1)
					leader.Wake(2)
				}
				<-all
			})
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
