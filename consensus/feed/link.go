package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sluicemq/sluice/internal/certs"
)

// link is the connection to one controller: a stream of the shards that are assigned to it, the
// session, and calls.
type link struct {
	c        *Client
	at       int // in c.links
	endpoint Endpoint
	options  []grpc.DialOption
	kicked   chan struct{} // capacity 1: there may be something to subscribe to

	mu      sync.Mutex
	conn    *grpc.ClientConn
	closed  bool
	failed  string // why it does not work, if it does not
	logged  string
	logTime time.Time
}

// connectTime is the longest wait for a connection.
const connectTime = 2 * time.Second

func (c *Client) newLink(at int, e Endpoint) (*link, error) {
	creds := insecure.NewCredentials()
	if c.o.TLS != nil {
		creds = credentials.NewTLS(c.o.TLS(e.ID).Clone())
	} else if !loopback(e.Address) {
		return nil, fmt.Errorf("%w: controller %d at %s", ErrPlain, e.ID, e.Address)
	}
	pauses := backoff.Config{BaseDelay: c.o.Config.ReconnectMin, Multiplier: 2, Jitter: 0.2, MaxDelay: c.o.Config.ReconnectMax}
	l := &link{c: c, at: at, endpoint: e, kicked: make(chan struct{}, 1), options: []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithIdleTimeout(0), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pauses, MinConnectTimeout: connectTime}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: c.o.Config.Lease, PermitWithoutStream: true}),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(2 * streamWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))}}
	return l, l.dial()
}

func (l *link) dial() (err error) {
	l.conn, err = grpc.NewClient("passthrough:///"+l.endpoint.Address, l.options...)
	return err
}

// close ends the connection and everything on it.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = l.conn.Close() // it has no state
}

// reset ends the connection of a controller that is silent, and makes another.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	old := l.conn
	if err := l.dial(); err != nil {
		l.conn = old
		return
	}
	_ = old.Close() // it has no state
}

func (l *link) use() *grpc.ClientConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// ready returns the connection if there is one, and has it made otherwise.
func (l *link) ready() *grpc.ClientConn {
	conn := l.use()
	if conn.GetState() == connectivity.Ready {
		return conn
	}
	conn.Connect()
	return nil
}

func (l *link) kick() {
	select {
	case l.kicked <- struct{}{}:
	default:
	}
}

func (l *link) failure() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// repeated is how often a failure that stays the same is logged.
const repeated = time.Minute

// report notes why a stream does not work, nil if it does, and logs what is new.
func (l *link) report(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.failed = ""
		return
	}
	l.failed = explain(err)
	if l.c.life.Err() != nil || what+l.failed == l.logged && time.Since(l.logTime) < repeated {
		return
	}
	l.logged, l.logTime = what+l.failed, time.Now()
	l.c.log.Warn(what, "controller", l.endpoint.ID, "address", l.endpoint.Address, "err", l.failed)
}

// explain says in one sentence why a stream has ended.
func explain(err error) string {
	if errors.Is(err, io.EOF) {
		return "the controller has ended the stream"
	}
	if s, ok := status.FromError(err); ok {
		err = errors.New(s.Message())
	}
	return certs.Explain(err).Error()
}

// pauses of a loop that retries.
type pauses struct{ least, most, next time.Duration }

// sleep waits, longer each time unless what came before lasted. It returns false if ctx is done.
func (p *pauses) sleep(ctx context.Context, lasted time.Duration) bool {
	if p.next == 0 || lasted > p.most {
		p.next = p.least
	}
	timer := time.NewTimer(p.next/2 + rand.N(p.next/2+1))
	defer timer.Stop()
	p.next = min(2*p.next, p.most)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) pauses() *pauses {
	return &pauses{least: c.o.Config.ReconnectMin, most: c.o.Config.ReconnectMax}
}

// errSilent means that nothing has come for the lease.
var errSilent = errors.New("the controller is silent")

// listen calls end if nothing is heard for the lease. The watch is reset when something is.
func (l *link) listen(end context.CancelCauseFunc) *time.Timer {
	return time.AfterFunc(l.c.o.Config.Lease, func() {
		end(errSilent)
		l.reset()
	})
}

// open opens a stream and exchanges hello and welcome.
func (l *link) open(ctx context.Context, desc *grpc.StreamDesc, method string) (grpc.ClientStream, error) {
	ss, err := l.use().NewStream(ctx, desc, method, grpc.ForceCodecV2(codec{}))
	if err != nil {
		return nil, err
	}
	if err := ss.SendMsg(l.c.hello().append(nil)); err != nil && !errors.Is(err, io.EOF) { // RecvMsg has the reason
		return nil, err
	}
	var b []byte
	if err := ss.RecvMsg(&b); err != nil {
		return nil, err
	}
	w, err := parseWelcome(b)
	if err != nil {
		return nil, err
	}
	return ss, l.c.welcomed(l, w)
}

// follow keeps a stream while subscriptions are assigned to the link.
func (l *link) follow() {
	wait := l.c.pauses()
	for {
		if l.c.count(l.at) == 0 {
			select {
			case <-l.kicked:
				continue
			case <-l.c.life.Done():
				return
			}
		}
		began := time.Now()
		err := l.stream()
		l.c.metrics.connects.WithLabelValues("failed").Inc()
		l.report("a controller cannot be followed; others are tried", err)
		l.c.moveOn(l.at)
		if !wait.sleep(l.c.life, time.Since(began)) {
			return
		}
	}
}

// stream follows the controller until something fails.
func (l *link) stream() error {
	ctx, end := context.WithCancelCause(l.c.life)
	defer end(nil)
	watch := l.listen(end)
	defer watch.Stop()
	ss, err := l.open(ctx, &followDesc, methodFollow)
	if err != nil {
		return cause(ctx, err)
	}
	l.c.metrics.connects.WithLabelValues("connected").Inc()
	l.report("", nil)
	var sender sync.WaitGroup
	sender.Go(func() { l.subscribes(ctx, ss) })
	err = l.receive(ctx, ss, watch)
	end(err)
	sender.Wait()
	return cause(ctx, err)
}

// cause returns why ctx ended, if it has: gRPC says only that it has.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

// subscribes sends what is assigned to the link, until the stream ends.
func (l *link) subscribes(ctx context.Context, ss grpc.ClientStream) {
	for {
		for _, m := range l.c.assigned(l.at) {
			if ss.SendMsg(m.append(nil)) != nil {
				return // receive has the reason
			}
		}
		select {
		case <-l.kicked:
		case <-ctx.Done():
			return
		}
	}
}

// receive delivers what the controller sends.
func (l *link) receive(ctx context.Context, ss grpc.ClientStream, watch *time.Timer) error {
	for {
		var b []byte
		if err := ss.RecvMsg(&b); err != nil {
			return err
		}
		m, err := parseMessage(b)
		if err != nil {
			return err
		}
		watch.Stop() // a slow copy is not the controller's silence
		if m.kind == kindHeartbeat {
			l.c.heartbeat(l.at)
		} else if err := l.deliver(ctx, m, len(b)); err != nil {
			return err
		}
		watch.Reset(l.c.o.Config.Lease)
	}
}

func (l *link) deliver(ctx context.Context, m message, size int) error {
	l.c.metrics.received.Add(float64(size))
	s, d, err := l.c.take(m)
	if s == nil || err != nil {
		return err
	}
	select {
	case s.inbox <- d:
	case <-s.gone:
	case <-ctx.Done():
		l.c.undelivered(s, m.token, d.before)
		return context.Cause(ctx)
	}
	return nil
}

// StartSessions opens a session of this process with every controller, and keeps them until Close.
// It is called once.
func (c *Client) StartSessions(incarnation uint64) {
	c.mu.Lock()
	c.incarnation = incarnation
	c.mu.Unlock()
	for _, l := range c.links {
		c.tasks.Go(l.session)
	}
}

// session keeps a session with the controller.
func (l *link) session() {
	wait := l.c.pauses()
	for {
		began := time.Now()
		err := l.heartbeats()
		l.report("there is no session with a controller; it is tried again", err)
		if !wait.sleep(l.c.life, time.Since(began)) {
			return
		}
	}
}

// heartbeats keeps the stream of a session until something fails.
func (l *link) heartbeats() error {
	ctx, end := context.WithCancelCause(l.c.life)
	defer end(nil)
	watch := l.listen(end)
	defer watch.Stop()
	ss, err := l.open(ctx, &sessionDesc, methodSession)
	if err != nil {
		return cause(ctx, err)
	}
	l.c.inSession.Add(1)
	defer l.c.inSession.Add(-1)
	var receiver sync.WaitGroup
	receiver.Go(func() {
		for {
			var b []byte
			if err := ss.RecvMsg(&b); err != nil {
				end(err)
				return
			}
			watch.Reset(l.c.o.Config.Lease)
		}
	})
	defer receiver.Wait()
	ticker := time.NewTicker(l.c.o.Config.heartbeat())
	defer ticker.Stop()
	for n := uint64(0); ; n++ {
		if err := ss.SendMsg(message{kind: kindHeartbeat, number: n}.append(nil)); err != nil && !errors.Is(err, io.EOF) {
			end(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
