package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/meta"
)

// Endpoint is where a controller's feed port is.
type Endpoint struct {
	ID      int32
	Address string // host:port
}

// ClientOptions is what a Client needs.
type ClientOptions struct {
	Config      Config
	Broker      int32
	ClusterID   string // of the broker's data; empty: none yet, the first controller tells
	Controllers []Endpoint
	// TLS has the settings for connections to a controller, see certs.Internal.Client; nil: no TLS,
	// which only loopback addresses may have.
	TLS     func(controller int32) *tls.Config
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Client is a broker's side of the feed: a consensus.Source, and its sessions. Its methods are safe
// for concurrent use.
type Client struct {
	o       ClientOptions
	log     *slog.Logger
	metrics *clientMetrics
	links   []*link
	first   atomic.Int32 // index of the link to ask first

	life  context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup

	inSession atomic.Int32

	mu          sync.Mutex
	cluster     string
	shards      int // 0: not known yet
	incarnation uint64
	subs        map[int]*subscription
	token       uint32
	learned     chan struct{} // closed once the cluster is known
}

var _ consensus.Source = (*Client)(nil)

// NewClient returns a client, which connects when it is first used.
func NewClient(o ClientOptions) (*Client, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if len(o.Controllers) == 0 {
		return nil, errors.New("no controller is configured")
	}
	c := &Client{o: o, log: o.Log, cluster: o.ClusterID, subs: make(map[int]*subscription), learned: make(chan struct{})}
	c.life, c.stop = context.WithCancel(context.Background())
	for i, e := range o.Controllers {
		l, err := c.newLink(i, e)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.links = append(c.links, l)
	}
	c.first.Store(max(o.Broker, 0) % int32(len(c.links))) // brokers spread over controllers
	c.metrics = newClientMetrics(c, o.Metrics)
	for _, l := range c.links {
		c.tasks.Go(l.follow)
	}
	return c, nil
}

// Close ends all streams and calls.
func (c *Client) Close() error {
	c.stop()
	for _, l := range c.links {
		l.close()
	}
	c.tasks.Wait()
	return nil
}

// Cluster returns the id of the cluster and its number of partition shards, once a controller has
// told them.
func (c *Client) Cluster(ctx context.Context) (id string, shards int, err error) {
	c.mu.Lock()
	if c.shards == 0 {
		c.subscribe(0, quorum.Position{}, nil) // asks for nothing but a welcome
	}
	c.mu.Unlock()
	select {
	case <-c.learned:
	case <-ctx.Done():
		return "", 0, fmt.Errorf("%w: no controller has answered: %w%s", meta.ErrUnavailable, context.Cause(ctx), c.why())
	case <-c.life.Done():
		return "", 0, errClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster, c.shards, nil
}

var errClosed = fmt.Errorf("%w: the connection to the controllers is closed", meta.ErrUnavailable)

// why returns why links have failed, for errors.
func (c *Client) why() (all string) {
	for _, l := range c.links {
		if w := l.failure(); w != "" {
			all += fmt.Sprintf("; controller %d at %s: %s", l.endpoint.ID, l.endpoint.Address, w)
		}
	}
	return all
}

// welcomed checks what a controller says of itself, and learns the cluster from the first one.
func (c *Client) welcomed(l *link, w welcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.controller != l.endpoint.ID:
		return fmt.Errorf("controller %d is at the address %s of controller %d; check the list of controllers", w.controller, l.endpoint.Address, l.endpoint.ID)
	case w.cluster == "" || w.shards == 0:
		return errors.New("the cluster has no name yet")
	case c.cluster != "" && c.cluster != w.cluster:
		return fmt.Errorf("controller %d at %s is of cluster %q, this broker of %q; check the list of controllers and the data directory", w.controller, l.endpoint.Address, w.cluster, c.cluster)
	case c.shards != 0 && c.shards != w.shards:
		return fmt.Errorf("controller %d has %d shards, others %d", w.controller, w.shards, c.shards)
	}
	c.cluster = w.cluster
	if c.shards == 0 {
		c.shards = w.shards
		close(c.learned)
	}
	return nil
}

// hello is what this broker begins calls with.
func (c *Client) hello() hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hello{c.o.Broker, c.incarnation, c.cluster}
}

// Offline returns nothing: shards that no controller serves are those that cannot be followed now.
func (c *Client) Offline() map[int]error { return nil }

// Propose has a shard apply a command; see consensus.Source. It is sent to one controller only.
func (c *Client) Propose(ctx context.Context, shard int, cmd []byte) (result []byte, index uint64, err error) {
	b, err := c.ask(ctx, methodPropose, request{c.hello(), shard, cmd}, false)
	if err != nil {
		return nil, 0, err
	}
	index, result, err = parseReply(b)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	return result, index, nil
}

// ReadIndex returns the index that a reader must have applied; see consensus.Source.
func (c *Client) ReadIndex(ctx context.Context, shard int) (index uint64, err error) {
	b, err := c.ask(ctx, methodReadIndex, request{hello: c.hello(), shard: shard}, true)
	if err != nil {
		return 0, err
	}
	if index, _, err = parseReply(b); err != nil {
		return 0, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	return index, nil
}

// ask sends a request to one controller after the other until one has accepted it. Only requests
// that may be repeated go on after one that may have.
func (c *Client) ask(ctx context.Context, method string, r request, repeatable bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Config.Timeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	body := r.append(nil)
	var last error
	for pause := c.o.Config.ReconnectMin; ; pause = min(2*pause, c.o.Config.ReconnectMax) {
		for i := range c.links {
			at := (int(c.first.Load()) + i) % len(c.links)
			l := c.links[at]
			conn := l.ready()
			if conn == nil {
				continue
			}
			out, sent, err := invoke(ctx, conn, method, body)
			if err == nil {
				c.first.Store(int32(at))
				return out, nil
			}
			last = fmt.Errorf("controller %d: %w", l.endpoint.ID, certs.Explain(errors.New(status.Convert(err).Message())))
			if status.Code(err) == codes.InvalidArgument {
				return nil, fmt.Errorf("%w: %w", ErrRefused, last)
			}
			if sent && !repeatable && !refused(err) {
				c.metrics.unknown.Inc()
				return nil, fmt.Errorf("%w: shard %d: whether the change is applied is unknown: %w", meta.ErrUnavailable, r.shard, last)
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if c.life.Err() != nil {
				return nil, errClosed
			}
			if last == nil {
				last = fmt.Errorf("no controller is connected%s", c.why())
			}
			return nil, fmt.Errorf("%w: shard %d: %w: %w", meta.ErrUnavailable, r.shard, last, context.Cause(ctx))
		}
	}
}

// invoke calls a method. It reports whether the request may have been sent.
func invoke(ctx context.Context, conn *grpc.ClientConn, method string, body []byte) (out []byte, sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ss, err := conn.NewStream(ctx, new(grpc.StreamDesc), method, grpc.ForceCodecV2(codec{}))
	if err != nil {
		return nil, false, err
	}
	if err := ss.SendMsg(body); err != nil && !errors.Is(err, io.EOF) { // RecvMsg has the reason
		return nil, true, err
	}
	err = ss.RecvMsg(&out)
	return out, true, err
}

// ErrRefused means that a request can never be accepted; it had no effect.
var ErrRefused = errors.New("the controllers refuse the request")

// refused reports whether a controller has said that a request had no effect.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.Aborted, codes.FailedPrecondition, codes.Unimplemented:
		return true
	}
	return false
}

// delay returns how long ago all subscriptions had what their controllers had.
func (c *Client) delay(now time.Time) (most time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		most = max(most, now.Sub(s.fresh))
	}
	return most
}
