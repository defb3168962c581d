package sluice

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/internal/quicnet"
)

const (
	// unusedTime is how long a connection without streams is kept for later ones.
	unusedTime = 5 * time.Second
	// lingerTime limits the wait until the broker has received what was written.
	lingerTime = time.Second
)

// session is one QUIC connection with its socket.
type session struct {
	d         *Dialer
	conn      *quic.Conn
	transport *quic.Transport
	socket    *quicnet.Socket

	mu        sync.Mutex
	streams   int
	lingering int // closed streams with undelivered data
	delivered sync.Cond
	ended     bool          // no more streams may be opened
	gone      bool          // the connection is gone, so nothing is waited for
	unused    *time.Timer   // ends a session without streams
	asked     chan struct{} // closed by end
}

// connect opens a QUIC connection to the first address of host that responds.
func (d *Dialer) connect(ctx context.Context, host string) (*session, error) {
	addresses, name, err := resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	t := d.tls.Clone()
	if t.ServerName == "" {
		t.ServerName = name
	}
	var errs []error
	for _, a := range addresses {
		s, err := d.handshake(ctx, a, t)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (d *Dialer) handshake(ctx context.Context, to *net.UDPAddr, t *tls.Config) (*session, error) {
	q := quicnet.ClientConfig()
	q.ReceiveOffload = !d.cfg.DisableReceiveOffload
	socket, err := q.Socket(to)
	if err != nil {
		return nil, err
	}
	s := &session{d: d, socket: socket, transport: &quic.Transport{Conn: socket}, asked: make(chan struct{})}
	s.delivered.L = &s.mu
	quicnet.ReportRefused(socket, true)
	s.conn, err = s.transport.Dial(ctx, to, t, q.Client())
	quicnet.ReportRefused(socket, false)
	if err != nil {
		return nil, errors.Join(err, s.free())
	}
	s.unused = time.AfterFunc(unusedTime, s.endUnused)
	d.handshakes.Add(1)
	d.sessions.Add(1)
	return s, nil
}

// resolve returns the addresses of host, IPv4 first, since most brokers listen there, and the
// name that its certificate must have.
func resolve(ctx context.Context, host string) ([]*net.UDPAddr, string, error) {
	name, service, err := net.SplitHostPort(host)
	if err != nil {
		return nil, "", err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, "", err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, name)
	if err != nil {
		return nil, "", err
	}
	var v4, v6 []*net.UDPAddr
	for _, ip := range ips {
		a := &net.UDPAddr{IP: ip.IP, Zone: ip.Zone, Port: port}
		if ip.IP.To4() != nil {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	return append(v4, v6...), name, nil
}

// run waits for the end of the connection and cleans up.
func (s *session) run() {
	select {
	case <-s.conn.Context().Done():
		s.d.lost.Add(1)
	case <-s.asked:
	}
	s.end()
	s.awaitDelivery()
	_ = s.conn.CloseWithError(quicnet.CodeNone, "") // never fails
	_ = s.free()
	s.d.sessions.Add(-1)
}

// awaitDelivery waits for closed streams to be delivered. On a lost connection it returns at once.
func (s *session) awaitDelivery() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.lingering > 0 {
		s.delivered.Wait()
	}
	s.gone = true
}

func (s *session) free() error { return errors.Join(s.transport.Close(), s.socket.Close()) }

func (s *session) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended && s.conn.Context().Err() == nil
}

// end prevents new streams. The connection is closed once the closed streams have been
// delivered; open ones are aborted.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked()
}

func (s *session) endLocked() {
	if !s.ended {
		s.ended = true
		s.unused.Stop()
		close(s.asked)
	}
}

func (s *session) endUnused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == 0 {
		s.endLocked()
	}
}

// open opens a stream. closed is called once it is closed.
func (s *session) open(ctx context.Context, closed func()) (net.Conn, error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil, net.ErrClosed
	}
	s.streams++
	s.unused.Stop()
	s.mu.Unlock()
	q, err := s.conn.OpenStreamSync(ctx) // waits while the broker's stream limit is reached
	if err != nil {
		s.release()
		return nil, err
	}
	return &stream{Conn: quicnet.NewConn(s.conn, q), session: s, closed: closed}, nil
}

// release counts one stream less.
func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams--; s.streams == 0 && !s.ended {
		s.unused.Reset(unusedTime)
	}
}

// stream is a Kafka connection.
type stream struct {
	*quicnet.Conn
	session *session
	once    sync.Once
	closed  func()
}

// Read distinguishes a stream ended by the broker from one lost with its connection: only the
// latter can simply be retried.
func (c *stream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) && c.session.conn.Context().Err() != nil {
		err = c.lost()
	}
	return n, err
}

// Close ends the stream; written data is delivered in the background, and the session waits for
// that before it closes.
func (c *stream) Close() error {
	c.once.Do(func() {
		c.Conn.Close()
		s := c.session
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone {
			c.closed()
			return
		}
		s.lingering++
		go c.deliver()
	})
	return nil
}

func (c *stream) deliver() {
	c.Linger(lingerTime)
	c.closed()
	s := c.session
	s.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lingering--
	s.delivered.Signal()
}
