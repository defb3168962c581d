package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
)

// recorder is a driver that notes what it is told, and sends what it is given.
type recorder struct {
	guard    sync.Mutex
	events   []string
	heard    []replication.Message
	toSend   [][]byte      // one Records each
	before   func()        // called within Next before it returns records
	hold     bool          // keep releases
	slow     time.Duration // of Records; set at the start
	holding  []func()
	received int64 // bytes
	taken    int64 // bytes that Next has returned
	next     int64 // offset
	released atomic.Int64
	lent     int64
}

func (r *recorder) note(format string, args ...any) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *recorder) all() []string {
	r.guard.Lock()
	defer r.guard.Unlock()
	return slices.Clone(r.events)
}

func (r *recorder) count(event string) (n int) {
	for _, e := range r.all() {
		if e == event {
			n++
		}
	}
	return n
}

func (r *recorder) Connected(b int32)    { r.note("connected %d", b) }
func (r *recorder) Disconnected(b int32) { r.note("disconnected %d", b) }

func (r *recorder) Heard(from int32, p topic.Partition, m replication.Message) {
	r.guard.Lock()
	r.heard = append(r.heard, m)
	r.guard.Unlock()
	switch {
	case m.Position != nil:
		r.note("position %d of incarnation %d from %d", m.Position.End, m.Position.Incarnation, from)
	case m.Divergence != nil:
		r.note("divergence %d from %d", m.Divergence.End, from)
	default:
		r.note("restart %d from %d", m.Restart.Start, from)
	}
}

func (r *recorder) Records(from int32, p topic.Partition, h replication.Records, batches []byte, release func()) {
	r.note("records %d from %d", h.Base, from)
	time.Sleep(r.slow)
	r.guard.Lock()
	defer r.guard.Unlock()
	r.received += int64(len(batches))
	if r.hold {
		r.holding = append(r.holding, release)
		return
	}
	release()
}

func (r *recorder) Next(to int32, limit int) (topic.Partition, replication.Records, [][]byte, func(), bool) {
	r.guard.Lock()
	defer r.guard.Unlock()
	if len(r.toSend) == 0 {
		return topic.Partition{}, replication.Records{}, nil, nil, false
	}
	if r.before != nil {
		r.before()
	}
	b := r.toSend[0]
	r.toSend = r.toSend[1:]
	r.taken += int64(len(b))
	r.lent++
	h := replication.Records{Base: r.next, End: r.next + 1}
	r.next++
	return partA, h, [][]byte{b}, func() { r.released.Add(1) }, true
}

func (r *recorder) give(p *Peers, to int32, n, size int) {
	r.guard.Lock()
	for range n {
		r.toSend = append(r.toSend, make([]byte, size))
	}
	r.guard.Unlock()
	p.Wake(to)
}

// quick has times that fit tests.
func quick() Config {
	c := setting.Default[Config]()
	c.PingInterval, c.PingTimeout = 50*time.Millisecond, 10*time.Second // tests of silence set their own
	c.ReconnectMax = 50 * time.Millisecond
	return c
}

type side struct {
	*recorder
	*Peers
	addr string
	log  *lines
}

// lines is a log that can be searched.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), what)
}

// newSide starts a broker that ends with the test.
func newSide(t testing.TB, id int32, inc uint64, change ...func(*Options)) *side {
	t.Helper()
	x := &side{recorder: &recorder{}, log: &lines{}}
	o := Options{Config: quick(), Cluster: "c", Broker: id, Incarnation: inc, Local: x.recorder, Log: slog.New(slog.NewTextHandler(x.log, nil)), Metrics: prometheus.NewPedanticRegistry()}
	for _, f := range change {
		f(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.Peers, x.addr = p, l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	t.Cleanup(func() {
		p.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return x
}

// pair is a leader, broker 1, with a follower, broker 2, that are connected.
func pair(t testing.TB, change ...func(*Options)) (leader, follower *side) {
	t.Helper()
	leader, follower = newSide(t, 1, 1, change...), newSide(t, 2, 1, change...)
	leader.Update([]Broker{{ID: 2, Incarnation: 1}})
	follower.Update([]Broker{{ID: 1, Incarnation: 1, Address: leader.addr}})
	wait(t, "they are connected", func() bool { return follower.count("connected 1") == 1 && leader.followers.get(2) != nil })
	return leader, follower
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// raw is a follower that says what a test wants.
type raw struct {
	grpc.ClientStream
	conn    *grpc.ClientConn
	cancel  context.CancelFunc
	failure error // why there is no stream
}

// dialRaw opens a stream to a leader and sends first.
func dialRaw(t testing.TB, leader *side, first []byte) *raw {
	t.Helper()
	conn, err := leader.clientOf(Broker{ID: 1, Address: leader.addr})
	if err != nil {
		t.Fatal(err)
	}
	return openRaw(t, conn, first)
}

// dialTLS is dialRaw with settings for TLS.
func dialTLS(t testing.TB, leader *side, c *tls.Config, first []byte) *raw {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+leader.addr, grpc.WithTransportCredentials(credentials.NewTLS(c)), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
	if err != nil {
		t.Fatal(err)
	}
	return openRaw(t, conn, first)
}

func openRaw(t testing.TB, conn *grpc.ClientConn, first []byte) *raw {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &raw{conn: conn, cancel: cancel}
	t.Cleanup(func() { cancel(); conn.Close() })
	cs, err := conn.NewStream(ctx, &follow, method, grpc.MaxCallSendMsgSize(math.MaxInt32))
	if err != nil {
		r.failure = err
		return r
	}
	if err := cs.SendMsg(first); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	r.ClientStream = cs
	return r
}

func helloOf(id int32, inc uint64) hello {
	return hello{version: 1, least: 1, broker: id, to: 1, incarnation: inc, window: 1 << 20, cluster: "c"}
}

// answered reads the leader's Hello, or the reason why there is none.
func (r *raw) answered() error {
	if r.failure != nil {
		return r.failure
	}
	in := new(inbound)
	if err := r.RecvMsg(in); err != nil {
		return err
	}
	_, err := parseHello(in.bytes())
	in.drop()
	return err
}

// ends reads until the stream ends, and returns why.
func (r *raw) ends() error {
	for {
		in := new(inbound)
		if err := r.RecvMsg(in); err != nil {
			return err
		}
		in.drop()
	}
}

func frameOf(all ...item) []byte {
	f := newFrame()
	for i := range all {
		f.add(&all[i])
	}
	return f.buffers().Materialize()
}

func position(end int64, hello bool) replication.Message {
	return replication.Message{Position: &replication.Position{Epoch: 1, End: end, LastEpoch: 1, Hello: hello}}
}
