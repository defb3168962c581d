package peer

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
)

// connection is an accepted connection. It closes itself if it has no stream for some time, and at
// its end releases the frames that gRPC has not written: gRPC reports the end once its
// goroutine that writes has ended, and keeps references to what was still queued.
type connection struct {
	credentials.AuthInfo // of TLS, or nil
	raw                  net.Conn

	mu     sync.Mutex
	closer *time.Timer // nil while a stream is in use
	ended  bool
	frames map[*frame]struct{}
}

// AuthType makes it what gRPC hands to handlers.
func (c *connection) AuthType() string { return "sluice" }

// connectionOf returns the accepted connection of a stream.
func connectionOf(ctx context.Context) *connection {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return nil
	}
	c, _ := p.AuthInfo.(*connection)
	return c
}

// linger closes the connection after a while, unless keep is called before.
func (c *connection) linger(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closer != nil {
		c.closer.Stop()
	}
	if !c.ended {
		c.closer = time.AfterFunc(d, func() { c.raw.Close() })
	}
}

func (c *connection) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closer != nil {
		c.closer.Stop()
		c.closer = nil
	}
}

// track remembers a frame until it is released. It returns false if the connection has ended.
func (c *connection) track(f *frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	f.conn = c
	c.frames[f] = struct{}{}
	return true
}

func (c *connection) untrack(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.frames, f)
}

// end releases what gRPC has not written.
func (c *connection) end() {
	c.mu.Lock()
	c.ended = true
	if c.closer != nil {
		c.closer.Stop()
	}
	var left []*frame
	for f := range c.frames {
		left = append(left, f)
	}
	c.mu.Unlock()
	for _, f := range left {
		f.release()
	}
}

// ends tells connections of their end. It is gRPC's stats.Handler of a server.
type ends struct{}

// TagRPC and the methods after it implement stats.Handler.
func (ends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC does nothing.
func (ends) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn does nothing.
func (ends) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn is called when a connection ends.
func (ends) HandleConn(ctx context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); !ok {
		return
	}
	if c := connectionOf(ctx); c != nil {
		c.end()
	}
}

// accepting wraps the credentials of a server: it makes the connection, and reports handshakes that fail.
type accepting struct {
	credentials.TransportCredentials
	patience time.Duration
	failed   func(remote net.Addr, err error)
}

// ServerHandshake implements credentials.TransportCredentials.
func (a *accepting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := a.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		a.failed(raw.RemoteAddr(), err)
		return nil, nil, err
	}
	c := &connection{AuthInfo: info, raw: raw, frames: make(map[*frame]struct{})}
	c.linger(a.patience)
	return conn, c, nil
}

// Clone implements credentials.TransportCredentials.
func (a *accepting) Clone() credentials.TransportCredentials {
	return &accepting{a.TransportCredentials.Clone(), a.patience, a.failed}
}
