package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	method = "/sluice.Replication/Follow"
	// lingering is how long a connection stays after its stream, so that the reason arrives.
	lingering = time.Second
	// http2Window lets data be under way that the reader has not taken yet. The reader is always quick.
	http2Window = 4 << 20
	ioBuffer    = 128 << 10
)

// follow describes the only call. A follower opens it.
var follow = grpc.StreamDesc{StreamName: "Follow", ClientStreams: true, ServerStreams: true,
	Handler: func(srv any, ss grpc.ServerStream) error { return srv.(*Peers).accept(ss) }}

func (p *Peers) newServer() *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(&accepting{p.serverCredentials(), p.cfg.ConnectTimeout, p.handshakeFailed}),
		grpc.ForceServerCodecV2(codec{}),
		grpc.StatsHandler(ends{}),
		grpc.MaxRecvMsgSize(followerFrame), grpc.MaxSendMsgSize(p.cfg.MaxFrameBytes),
		grpc.MaxConcurrentStreams(1), grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(p.cfg.ConnectTimeout),
		grpc.StaticStreamWindowSize(http2Window), grpc.StaticConnWindowSize(2*http2Window),
		grpc.WriteBufferSize(ioBuffer), grpc.ReadBufferSize(ioBuffer),
		grpc.WaitForHandlers(true))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "sluice.Replication", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{follow}}, p)
	return s
}

func (p *Peers) handshakeFailed(remote net.Addr, err error) {
	if errors.Is(err, io.EOF) { // a controller looks so whether this process listens
		p.log.Debug("a connection to the port for brokers has ended before it began", "from", remote)
		return
	}
	p.metrics.refused.WithLabelValues("handshake").Inc()
	p.log.Warn("a connection to the port for brokers was refused", "from", remote, "err", err)
}

// accept carries a stream that a follower has opened.
func (p *Peers) accept(ss grpc.ServerStream) error {
	conn := connectionOf(ss.Context())
	defer conn.linger(lingering)
	in := new(inbound)
	if err := ss.RecvMsg(in); err != nil {
		return err
	}
	h, err := parseHello(in.bytes())
	in.drop()
	if err == nil {
		err = p.verify(ss.Context(), h)
	}
	if err != nil {
		return p.refuse(conn.raw.RemoteAddr(), err)
	}
	s := p.newStream(ss, h, true)
	s.conn = conn
	if err := p.enter(ss.Context(), s); err != nil {
		return p.refuse(conn.raw.RemoteAddr(), err)
	}
	conn.keep()
	p.comeBack(h.broker)
	answer := p.own
	answer.to = h.broker
	if err = ss.SendMsg(answer.append(nil)); err == nil {
		p.log.Info("a follower has connected", "broker", h.broker, "incarnation", h.incarnation)
		err = s.run()
	}
	s.stop(err)
	s.end()
	p.leave(s)
	if errors.Is(err, errSilent) {
		conn.raw.Close() // nobody would read the reason, and a full socket would block the writer
	}
	return p.ended(s, err)
}

// ended logs the end of a follower's stream and returns what the follower is told.
func (p *Peers) ended(s *stream, err error) error {
	var v violation
	switch {
	case errors.As(err, &v):
		p.metrics.refused.WithLabelValues("violation").Inc()
		p.log.Error("a follower was disconnected: it does not keep to the protocol", "broker", s.peer, "err", err)
		return status.Error(codes.InvalidArgument, err.Error())
	case p.isClosed():
		return status.Error(codes.Unavailable, "the broker is stopping")
	}
	p.log.Warn("a follower has disconnected", "broker", s.peer, "incarnation", s.incarnation, "err", plain(err))
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Aborted, err.Error())
}

// verify returns why a Hello is not accepted, or nil.
func (p *Peers) verify(ctx context.Context, h hello) error {
	if err := h.fits(p.own); err != nil {
		return err
	}
	who, _ := grpcpeer.FromContext(ctx)
	return p.maySpeakAs(who, h.broker)
}

// current returns why a broker is not one of the last Update, or nil. REQUIRES: p.mu is held.
func (p *Peers) current(broker int32, incarnation uint64) error {
	b, known := p.brokers[broker]
	switch {
	case !known:
		return fmt.Errorf("broker %d does not have broker %d in its metadata (yet)", p.own.broker, broker)
	case incarnation < b.Incarnation:
		return fmt.Errorf("broker %d has been started again since: this is incarnation %d, the metadata has %d", broker, incarnation, b.Incarnation)
	}
	return nil
}

func (p *Peers) refuse(remote net.Addr, err error) error {
	p.metrics.refused.WithLabelValues("hello").Inc()
	p.log.Warn("a stream to the port for brokers was refused", "from", remote, "err", err)
	return status.Error(codes.FailedPrecondition, err.Error())
}

// enter makes s the stream of its follower, after the end of the one before. The newer one wins,
// but an earlier process never replaces a later one.
func (p *Peers) enter(ctx context.Context, s *stream) error {
	for {
		p.mu.Lock()
		old := p.followers.get(s.peer)
		err := p.current(s.peer, s.incarnation)
		if old == nil && err == nil {
			p.followers.set(s.peer, s)
		}
		p.mu.Unlock()
		if old == nil || err != nil {
			return err
		}
		if old.incarnation > s.incarnation || old.incarnation == s.incarnation && old.serial > s.serial {
			return fmt.Errorf("a newer stream of broker %d is in use, of incarnation %d", s.peer, old.incarnation)
		}
		old.stop(fmt.Errorf("broker %d has opened a newer stream", s.peer))
		select {
		case <-old.left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave tells the driver that the stream has ended, and lets the next one in.
func (p *Peers) leave(s *stream) {
	p.local.Disconnected(s.peer)
	p.mu.Lock()
	p.followers.set(s.peer, nil)
	p.mu.Unlock()
	close(s.left)
}

func (p *Peers) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// comeBack has the dialer of a broker try at once: the broker is there.
func (p *Peers) comeBack(broker int32) {
	p.mu.Lock()
	d := p.dialers[broker]
	p.mu.Unlock()
	if d != nil {
		d.kick()
	}
}

// plain returns the sentence of an error that came through gRPC.
func plain(err error) string {
	if s, ok := status.FromError(err); ok && err != nil {
		return s.Message()
	}
	return fmt.Sprint(err)
}
