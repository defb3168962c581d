package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/sluicemq/sluice/internal/certs"
)

// settled is how long a stream must have lasted for the pauses to begin from the least again.
const settled = time.Second

// repeated is how often a failure that stays the same is logged.
const repeated = time.Minute

// dialer keeps a stream to one broker, if that has an address. There is never more than one for a
// broker, so that a stream begins only after the end of the one before.
type dialer struct {
	p      *Peers
	cancel context.CancelFunc
	again  chan struct{} // ends a pause

	mu      sync.Mutex
	broker  Broker
	attempt context.CancelFunc // of the attempt or stream, or nil
	reached uint64             // incarnation of the stream in use, or 0

	logged  string // the failure logged last; of run
	logTime time.Time
}

// dial starts a dialer. REQUIRES: p.mu is held.
func (p *Peers) dial(b Broker) *dialer {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dialer{p: p, cancel: cancel, again: make(chan struct{}, 1), broker: b}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		d.run(ctx)
	}()
	return d
}

// set says where the broker is, and which process. What leads to another one ends. Without an
// address there is no stream.
func (d *dialer) set(b Broker) {
	d.mu.Lock()
	changed := d.broker != b
	d.broker = b
	if changed && d.attempt != nil && (b.Address == "" || d.reached == 0 || d.reached < b.Incarnation) {
		d.attempt()
	}
	d.mu.Unlock()
	if changed {
		d.kick()
	}
}

// kick ends a pause.
func (d *dialer) kick() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

// run connects, again and again.
func (d *dialer) run(ctx context.Context) {
	pause := d.p.cfg.ReconnectMin
	for {
		if !d.addressed() {
			select {
			case <-ctx.Done():
				return
			case <-d.again:
				continue
			}
		}
		began := time.Now()
		err := d.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if !d.addressed() {
			continue // it was removed
		}
		d.report(err)
		if time.Since(began) >= settled {
			pause = d.p.cfg.ReconnectMin
		}
		wait := time.NewTimer(pause/2 + rand.N(pause/2+1)) // so that brokers do not come in step
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-d.again:
			pause = d.p.cfg.ReconnectMin
		case <-wait.C:
			pause = min(2*pause, d.p.cfg.ReconnectMax)
		}
		wait.Stop()
	}
}

func (d *dialer) addressed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broker.Address != ""
}

// report logs a failure, unless it is the same as before.
func (d *dialer) report(err error) {
	d.mu.Lock()
	b := d.broker
	d.mu.Unlock()
	count := d.p.countersOf(b.ID)
	count.failures.Add(1)
	text := explain(err)
	count.failed(text)
	if text == d.logged && time.Since(d.logTime) < repeated {
		return
	}
	d.logged, d.logTime = text, time.Now()
	d.p.log.Warn("there is no stream to a broker; it is tried again", "broker", b.ID, "address", b.Address, "err", text)
}

// explain says in one sentence why there is no stream.
func explain(err error) string {
	text := strings.TrimPrefix(plain(err), "connection error: desc = ")
	refuses := certs.Explain(errors.New(text))
	switch {
	case errors.Is(err, io.EOF):
		return "the broker has closed the stream"
	case errors.Is(refuses, certs.ErrPeerRefuses):
		return refuses.Error()
	case strings.Contains(text, "received message larger than max"):
		return text + "; raise max_frame_bytes above the largest request of the other broker"
	}
	return text
}

// connect opens a stream and carries it until it ends.
func (d *dialer) connect(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	d.mu.Lock()
	b := d.broker
	d.attempt, d.reached = cancel, 0
	d.mu.Unlock()
	conn, err := d.p.clientOf(b)
	if err != nil {
		return err
	}
	defer conn.Close()
	impatient := time.AfterFunc(d.p.cfg.ConnectTimeout, cancel)
	s, err := d.p.open(ctx, conn, b)
	if !impatient.Stop() && parent.Err() == nil {
		return fmt.Errorf("it has not answered within %s", d.p.cfg.ConnectTimeout)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.reached = s.incarnation
	d.mu.Unlock()
	return d.p.carry(s, cancel)
}

// carry runs a stream to a leader.
func (p *Peers) carry(s *stream, cancel context.CancelFunc) error {
	p.mu.Lock()
	p.leaders.set(s.peer, s)
	p.mu.Unlock()
	s.count.connects.Add(1)
	p.log.Info("connected to a broker", "broker", s.peer, "incarnation", s.incarnation)
	err := s.run()
	cancel()
	s.work.Wait()
	p.mu.Lock()
	p.leaders.set(s.peer, nil)
	p.mu.Unlock()
	return err
}

// clientOf returns a client of a broker, which connects with the first call.
func (p *Peers) clientOf(b Broker) (*grpc.ClientConn, error) {
	creds, err := p.clientCredentials(b)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: p.cfg.ConnectTimeout}
	return grpc.NewClient("passthrough:///"+b.Address,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return d.DialContext(ctx, "tcp", to) }),
		grpc.WithNoProxy(), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: p.cfg.ConnectTimeout}),
		grpc.WithStaticStreamWindowSize(http2Window), grpc.WithStaticConnWindowSize(2*http2Window),
		grpc.WithReadBufferSize(ioBuffer), grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(p.cfg.MaxFrameBytes), grpc.MaxCallSendMsgSize(followerFrame)))
}

// open opens a stream to a leader and exchanges Hellos.
func (p *Peers) open(ctx context.Context, conn *grpc.ClientConn, b Broker) (*stream, error) {
	cs, err := conn.NewStream(ctx, &follow, method)
	if err != nil {
		return nil, err
	}
	own := p.own
	own.to = b.ID
	if err := cs.SendMsg(own.append(nil)); err != nil && !errors.Is(err, io.EOF) { // then RecvMsg has the reason
		return nil, err
	}
	in := new(inbound)
	if err := cs.RecvMsg(in); err != nil {
		return nil, err
	}
	h, err := parseHello(in.bytes())
	in.drop()
	if err != nil {
		return nil, err
	}
	if h.broker != b.ID && h.cluster == p.own.cluster {
		return nil, fmt.Errorf("broker %d answers where broker %d should be", h.broker, b.ID)
	}
	if err := h.fits(p.own); err != nil {
		return nil, err
	}
	if h.incarnation < b.Incarnation {
		return nil, fmt.Errorf("incarnation %d of broker %d answers, the metadata has %d", h.incarnation, b.ID, b.Incarnation)
	}
	return p.newStream(cs, h, false), nil
}
