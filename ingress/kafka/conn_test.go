package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/pipeline"
)

// ledger is an Admission with a single budget.
type ledger struct{ *pipeline.Budget }

func (l *ledger) Frame(who pipeline.Holder, _ int16, n int64) *pipeline.Claim { return l.Claim(who, n) }
func (l *ledger) Work(who pipeline.Holder, n int64) *pipeline.Claim           { return l.Claim(who, n) }

// wire is the client's end of a connection to a server with one handler, for Heartbeat
// requests.
type wire struct {
	t      *testing.T
	server *Server
	gate   *ledger
	nc     net.Conn
	over   chan error
}

// nobody is the identity of a test broker.
func nobody() (string, int32) { return "home", 3 }

func dial(t *testing.T, cfg ServerConfig, h Handler) *wire {
	t.Helper()
	w := &wire{t: t, gate: &ledger{pipeline.NewBudget(256 << 20)}, over: make(chan error, 1)}
	var err error
	w.server, err = NewServer(cfg, nobody, []API{{Key: kmsg.Heartbeat.Int16(), Min: 1, Max: 4, Handler: h}}, w.gate,
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.connect()
	t.Cleanup(func() {
		w.nc.Close()
		_ = w.server.Shutdown(context.Background())
		if n := w.gate.InUse(); n != 0 {
			t.Errorf("%d bytes were never refunded", n)
		}
		goleak.VerifyNone(t, goleak.IgnoreCurrent())
	})
	return w
}

func (w *wire) connect() { w.connectAs(ConnInfo{Transport: "tcp"}) }

func (w *wire) connectAs(info ConnInfo) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	if w.nc, err = net.Dial("tcp", l.Addr().String()); err != nil {
		w.t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	_ = w.nc.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { w.over <- w.server.ServeConn(context.Background(), there, info) }()
}

func (w *wire) send(req kmsg.Request, id int32) {
	w.t.Helper()
	if _, err := w.nc.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, id)); err != nil {
		w.t.Fatal(err)
	}
}

// receive reads one response: its correlation id and the rest.
func (w *wire) receive() (id int32, rest []byte) {
	w.t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(w.nc, head[:]); err != nil {
		w.t.Fatal(err)
	}
	rest = make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(w.nc, rest); err != nil {
		w.t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(head[4:])), rest
}

// closed checks that the server ends the connection without sending another byte.
func (w *wire) closed() {
	w.t.Helper()
	if n, err := w.nc.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
		w.t.Fatalf("read %d bytes, %v; want the end of the connection", n, err)
	}
	<-w.over
}

func heartbeat(version int16, group string) *kmsg.HeartbeatRequest {
	r := kmsg.NewPtrHeartbeatRequest()
	r.SetVersion(version)
	r.Group = group
	return r
}

func answer(r *Request) Response {
	resp := r.Body.ResponseKind().(*kmsg.HeartbeatResponse)
	resp.ThrottleMillis = int32(len(r.Body.(*kmsg.HeartbeatRequest).Group))
	return Response{Message: resp}
}

var echo = HandlerFunc(func(_ context.Context, r *Request) kmsg.Response { return answer(r).Message })

// A request whose handler charges it elsewhere holds none of the request budget while it waits,
// and its frame buffer can be reused.
func TestWhatIsChargedElsewhereGivesItsFrameBack(t *testing.T) {
	served := make(chan func(), 1)
	w := dial(t, DefaultServerConfig(), handlerOf(func(_ context.Context, r *Request, reply func(Response)) {
		r.Charged = true
		served <- func() { reply(answer(r)) }
	}))
	long := strings.Repeat("g", 500)
	var waiting []func()
	for i := range int32(100) {
		w.send(heartbeat(4, long[:i]), i)
		waiting = append(waiting, <-served)
	}
	for until := time.Now().Add(10 * time.Second); w.gate.InUse() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d bytes are held by waiting requests", w.gate.InUse())
		}
	}
	for i, reply := range waiting {
		reply()
		if id, rest := w.receive(); id != int32(i) || binary.BigEndian.Uint32(rest[1:]) != uint32(i) {
			t.Fatalf("response %d to request %d: % x", id, i, rest)
		}
	}
}

func TestAnswersInEveryHeaderVersion(t *testing.T) {
	w := dial(t, DefaultServerConfig(), echo)
	for v := int16(1); v <= 4; v++ {
		w.send(heartbeat(v, "abc"), int32(v))
		id, rest := w.receive()
		if v >= 4 {
			if rest[0] != 0 {
				t.Fatalf("version %d: header tags % x", v, rest)
			}
			rest = rest[1:]
		}
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.SetVersion(v)
		if err := resp.ReadFrom(rest); err != nil || id != int32(v) || resp.ThrottleMillis != 3 {
			t.Fatalf("version %d: answer %d, %+v, %v", v, id, resp, err)
		}
	}
}

// later collects requests and replies to them in reverse order.
type later struct {
	mu    sync.Mutex
	calls []func()
	want  int
}

func (l *later) Serve(_ context.Context, r *Request, reply func(Response)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, func() { reply(answer(r)) })
	if len(l.calls) == l.want {
		for i := range l.calls {
			l.calls[len(l.calls)-1-i]()
		}
	}
}

func TestAnswersKeepTheOrderOfRequests(t *testing.T) {
	w := dial(t, DefaultServerConfig(), &later{want: 20})
	for id := range int32(20) {
		w.send(heartbeat(3, "g"), id)
	}
	for want := range int32(20) {
		if id, _ := w.receive(); id != want {
			t.Fatalf("answer %d, want %d", id, want)
		}
	}
}

func TestBreakingTheProtocolCostsTheConnection(t *testing.T) {
	cfg := DefaultServerConfig()
	cfg.MaxControlBytes = 2000
	frame := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	for name, b := range map[string][]byte{
		"oversize":            append(binary.BigEndian.AppendUint32(nil, 5000), 0, 12, 0, 3, 0, 0, 0, 1),
		"negative length":     {0xff, 0xff, 0xff, 0xff, 0, 12, 0, 3, 0, 0, 0, 1},
		"too short":           {0, 0, 0, 2, 0, 12, 0, 3, 0, 0, 0, 1},
		"unknown key":         frame(0x7f, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff),
		"unsupported version": frame(0, 12, 0, 9, 0, 0, 0, 1, 0xff, 0xff),
		"client id too long":  frame(0, 12, 0, 3, 0, 0, 0, 1, 0x40, 0),
		"no body":             frame(0, 12, 0, 3, 0, 0, 0, 1, 0xff, 0xff),
		"http":                []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			w := dial(t, cfg, echo)
			if _, err := w.nc.Write(b); err != nil {
				t.Fatal(err)
			}
			w.closed()
		})
	}
}

func TestAPanicCostsOneConnection(t *testing.T) {
	w := dial(t, DefaultServerConfig(), HandlerFunc(func(_ context.Context, r *Request) kmsg.Response {
		if r.Body.(*kmsg.HeartbeatRequest).Group == "bad" {
			panic("a defect")
		}
		return answer(r).Message
	}))
	w.send(heartbeat(3, "bad"), 1)
	w.closed()
	w.connect()
	w.send(heartbeat(3, "good"), 2)
	w.receive()
}

func TestRequestsOfOneConnectionAreBounded(t *testing.T) {
	cfg := DefaultServerConfig()
	cfg.Outstanding = 4
	var served atomic.Int32
	release := make(chan struct{})
	w := dial(t, cfg, handlerOf(func(_ context.Context, r *Request, reply func(Response)) {
		served.Add(1)
		go func() {
			<-release
			reply(answer(r))
		}()
	}))
	go func() {
		for id := range int32(50) {
			if _, err := w.nc.Write(kmsg.NewRequestFormatter().AppendRequest(nil, heartbeat(3, "g"), id)); err != nil {
				return
			}
		}
	}()
	// One is at the writer, four are in the queue, and one waits for the queue.
	for served.Load() < 6 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // time for another one, if the server would take it
	if n := served.Load(); n != 6 {
		t.Errorf("%d requests were accepted", n)
	}
	close(release)
	for range 50 {
		w.receive()
	}
}

func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	w := dial(t, DefaultServerConfig(), handlerOf(func(_ context.Context, r *Request, reply func(Response)) {
		close(started)
		go func() {
			<-release
			reply(answer(r))
		}()
	}))
	w.send(heartbeat(3, "g"), 5)
	<-started
	over := make(chan error)
	go func() { over <- w.server.Shutdown(context.Background()) }()
	close(release)
	if id, _ := w.receive(); id != 5 {
		t.Errorf("answer %d", id)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	w.closed()
}

func TestIdleConnectionsAreClosedAndWaitingOnesAreNot(t *testing.T) {
	cfg := DefaultServerConfig()
	cfg.IdleTimeout = 50 * time.Millisecond
	release := make(chan struct{})
	w := dial(t, cfg, handlerOf(func(_ context.Context, r *Request, reply func(Response)) {
		go func() {
			<-release
			reply(answer(r))
		}()
	}))
	w.send(heartbeat(3, "g"), 1)
	time.AfterFunc(4*cfg.IdleTimeout, func() { close(release) })
	w.receive()
	w.closed()
}

func TestAClientThatLeavesEndsItsRequests(t *testing.T) {
	ended := make(chan struct{})
	w := dial(t, DefaultServerConfig(), handlerOf(func(ctx context.Context, r *Request, reply func(Response)) {
		go func() {
			<-ctx.Done()
			reply(Response{})
			close(ended)
		}()
	}))
	w.send(heartbeat(3, "g"), 1)
	w.nc.Close()
	<-ended
	<-w.over
}

// Silent connections hold no buffers, and lose nothing when they resume.
func TestSilentConnectionsLendTheirBuffers(t *testing.T) {
	const n, most = 400, 12 << 10 // heap bytes per connection, both ends
	w := dial(t, DefaultServerConfig(), echo)
	first := w.nc
	inUse := func() int64 {
		for range 3 {
			runtime.GC() // a sync.Pool drops unused items after two collections
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	conns := make([]net.Conn, n)
	ask := func(id int32) {
		w.send(heartbeat(4, "abc"), id)
		if got, _ := w.receive(); got != id {
			t.Fatalf("response %d to request %d", got, id)
		}
	}
	for i := range conns {
		w.connect()
		conns[i] = w.nc
		ask(int32(i))
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		each := (inUse() - before) / n
		if each < most {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("a silent connection takes %d bytes", each)
		}
	}
	for i, c := range conns {
		w.nc = c
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		ask(int32(n + i))
		ask(int32(2*n + i))
		c.Close()
	}
	w.nc = first
}
