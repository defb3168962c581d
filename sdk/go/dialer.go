package sluice

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Dialer opens Kafka connections. Over QUIC, connections to one broker are streams of a shared
// QUIC connection, which is opened when first needed, reopened after a loss, and closed some
// time after its last stream.
type Dialer struct {
	cfg Config
	tls *tls.Config

	closing context.Context // done once no more connections may be opened
	close   context.CancelFunc
	mu      sync.Mutex
	pools   map[string]*pool // by HOST:PORT

	abandoned atomic.Bool
	refusals  refusals
	counters
}

// counters are the values behind Stats.
type counters struct {
	sessions, streams       atomic.Int64
	handshakes, failures    atomic.Int64
	opened, lost            atomic.Int64
	bytesRead, bytesWritten atomic.Int64
}

// NewDialer returns a dialer. Call Close when done.
func NewDialer(cfg Config) (*Dialer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	d := &Dialer{cfg: cfg, tls: t, pools: make(map[string]*pool),
		refusals: refusals{seeds: cfg.Brokers, refused: make(map[string]error), reached: make(map[string]bool)}}
	d.closing, d.close = context.WithCancel(context.Background())
	return d, nil
}

// DialContext opens a connection to host, HOST:PORT. It fits kgo.Dialer. Errors are
// *net.OpError; see ErrUntrusted for what they may wrap.
func (d *Dialer) DialContext(ctx context.Context, _, host string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.DialTimeout)
	defer cancel()
	defer context.AfterFunc(d.closing, cancel)()
	var c net.Conn
	var err error
	switch d.cfg.Transport {
	case TCP:
		c, err = (&net.Dialer{}).DialContext(ctx, "tcp", host)
	case TLS:
		c, err = (&tls.Dialer{Config: d.tls}).DialContext(ctx, "tcp", host)
	default:
		c, err = d.stream(ctx, host)
	}
	if err != nil && d.abandoned.Load() {
		return nil, ErrClosed // not a net error, which kgo would retry
	}
	if err != nil && d.closing.Err() != nil {
		err = net.ErrClosed
	}
	if err != nil {
		d.failures.Add(1)
		err = dialError(string(d.cfg.Transport), host, err)
		d.refusals.note(host, err)
		return nil, err
	}
	d.opened.Add(1)
	d.streams.Add(1)
	return &counted{Conn: c, d: d, host: host}, nil
}

// stream opens a stream on a connection to host.
func (d *Dialer) stream(ctx context.Context, host string) (net.Conn, error) {
	for {
		c, err := d.pool(host).stream(ctx)
		if !errors.Is(err, errReleased) {
			return c, err
		}
		if d.closing.Err() != nil {
			return nil, net.ErrClosed
		}
	}
}

// pool returns the connections to host; from a closed dialer, a closed pool.
func (d *Dialer) pool(host string) *pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pools[host]
	if p == nil {
		p = newPool(d, host)
		if d.closing.Err() != nil {
			p.close()
		} else {
			d.pools[host] = p
		}
	}
	return p
}

// Close closes all connections and waits until they have ended; written data is delivered
// first, within a second. No connection can be opened afterwards.
func (d *Dialer) Close() error {
	d.mu.Lock()
	d.close()
	d.mu.Unlock()
	d.release()
	return nil
}

// abandon prevents new connections; existing ones continue.
func (d *Dialer) abandon() {
	d.abandoned.Store(true)
	d.close()
}

// release closes all existing QUIC connections, and waits.
func (d *Dialer) release() {
	d.mu.Lock()
	pools := d.pools
	d.pools = make(map[string]*pool)
	d.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
}

// lifetime closes a dialer's connections with the last client that uses them.
type lifetime struct {
	dialer *Dialer
	mu     sync.Mutex
	users  int
}

// OnNewClient is called by kgo.
func (l *lifetime) OnNewClient(*kgo.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users++
}

// OnClientClosed is called by kgo once the client has closed its connections.
func (l *lifetime) OnClientClosed(*kgo.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 {
		l.dialer.release()
	}
}

// counted counts the bytes of a connection.
type counted struct {
	net.Conn
	d        *Dialer
	host     string
	answered atomic.Bool
	closed   atomic.Bool
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.d.bytesRead.Add(int64(n))
	if n > 0 && !c.answered.Swap(true) {
		c.d.refusals.answered(c.host)
	}
	return n, c.failed(err)
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.d.bytesWritten.Add(int64(n))
	return n, c.failed(err)
}

// failed explains an error of the connection.
func (c *counted) failed(err error) error {
	if err == nil || c.answered.Load() {
		return err // a broker that has responded does not turn the client away
	}
	err = refused(err)
	c.d.refusals.note(c.host, err)
	return err
}

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.d.streams.Add(-1)
	}
	return c.Conn.Close()
}

// DialerStats are totals since the dialer was created; the first two are current values.
type DialerStats struct {
	Connections int64 // open QUIC connections
	Streams     int64 // open Kafka connections: streams, or TCP connections

	StreamsOpened int64
	Handshakes    int64 // QUIC handshakes completed
	Lost          int64 // QUIC connections that ended unexpectedly
	Failures      int64 // failed dials
	BytesRead     int64
	BytesWritten  int64
}

// Stats returns the dialer's statistics.
func (d *Dialer) Stats() DialerStats {
	return DialerStats{Connections: d.sessions.Load(), Streams: d.streams.Load(), StreamsOpened: d.opened.Load(),
		Handshakes: d.handshakes.Load(), Lost: d.lost.Load(), Failures: d.failures.Load(),
		BytesRead: d.bytesRead.Load(), BytesWritten: d.bytesWritten.Load()}
}
