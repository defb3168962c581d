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

// Dialer opens Kafka connections. Over QUIC those to one broker are streams of the
// same QUIC connection, which is made when it is first needed, made again when it
// was lost, and closed a while after its last stream.
type Dialer struct {
	cfg Config
	tls *tls.Config

	closing context.Context // done once no connection may be opened any more
	close   context.CancelFunc
	mu      sync.Mutex
	pools   map[string]*pool // by HOST:PORT

	abandoned atomic.Bool
	refusals  refusals
	counters
}

// counters are what Stats is made of.
type counters struct {
	sessions, streams       atomic.Int64
	handshakes, failures    atomic.Int64
	opened, lost            atomic.Int64
	bytesRead, bytesWritten atomic.Int64
}

// NewDialer returns a dialer. Close it when it is not needed any more.
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

// DialContext opens a connection to host, HOST:PORT. It fits kgo.Dialer. The error
// is a *net.OpError; see ErrUntrusted for what may be in it.
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
		return nil, ErrClosed // not of the net package: kgo would try again
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

// pool returns the connections to host. Those of a closed dialer are closed.
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

// Close ends all connections and waits until they are gone; what was written on
// them is delivered first, within a second. No connection can be opened any more.
func (d *Dialer) Close() error {
	d.mu.Lock()
	d.close()
	d.mu.Unlock()
	d.release()
	return nil
}

// abandon has no connection opened any more; those there are go on.
func (d *Dialer) abandon() {
	d.abandoned.Store(true)
	d.close()
}

// release ends all QUIC connections there are, and waits.
func (d *Dialer) release() {
	d.mu.Lock()
	pools := d.pools
	d.pools = make(map[string]*pool)
	d.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
}

// lifetime ends a dialer's connections with the last client that uses them.
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
		return err // whoever has answered does not turn a client away
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

// DialerStats are counts since the dialer was made, but for the first two, which
// are as of now.
type DialerStats struct {
	Connections int64 // QUIC connections open
	Streams     int64 // Kafka connections open: streams, or TCP connections

	StreamsOpened int64
	Handshakes    int64 // QUIC connections made
	Lost          int64 // QUIC connections that ended without being asked to
	Failures      int64 // dials that failed
	BytesRead     int64
	BytesWritten  int64
}

// Stats returns what the dialer has counted.
func (d *Dialer) Stats() DialerStats {
	return DialerStats{Connections: d.sessions.Load(), Streams: d.streams.Load(), StreamsOpened: d.opened.Load(),
		Handshakes: d.handshakes.Load(), Lost: d.lost.Load(), Failures: d.failures.Load(),
		BytesRead: d.bytesRead.Load(), BytesWritten: d.bytesWritten.Load()}
}
