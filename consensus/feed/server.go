package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/certs"
)

// Controller is what a Server serves; a *quorum.Quorum is one.
type Controller interface {
	// ClusterID returns the id of the cluster.
	ClusterID() string
	// Shards returns the number of partition shards.
	Shards() int
	// Offline returns the shards that this controller does not have, and why.
	Offline() map[int]error
	// Led reports whether this controller knows the present leader of a shard.
	Led(shard int) bool
	Propose(ctx context.Context, shard int, cmd []byte) (result []byte, index uint64, err error)
	ReadIndex(ctx context.Context, shard int) (uint64, error)
	Follow(shard int, after quorum.Position) *quorum.Follower
}

// ServerOptions is what a Server needs.
type ServerOptions struct {
	Config     Config
	ID         int32 // of this controller
	Controller Controller
	Authority  Authority
	// TLS has the settings of the port, see certs.Internal.Server; nil: no TLS, which only a
	// listener on a loopback address may have.
	TLS     *tls.Config
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Server is the controller's side of the feed.
type Server struct {
	o        ServerOptions
	log      *slog.Logger
	grpc     *grpc.Server
	sessions *sessions
	metrics  *serverMetrics

	life context.Context
	stop context.CancelFunc
	wait sync.WaitGroup
}

const (
	// MaxCommandBytes bounds an encoded command.
	MaxCommandBytes = 64 << 20
	maxMessage      = MaxCommandBytes + 64<<10
	pieceBytes      = 1 << 20 // of snapshots, and about that of entries
	maxStreams      = 1024    // of one connection: proposals in progress
	maxConnections  = 4096
	streamWindow    = 4 << 20
	ioBuffer        = 64 << 10
	handshakeTime   = 5 * time.Second
)

// NewServer returns a server and begins to watch sessions.
func NewServer(o ServerOptions) (*Server, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{o: o, log: o.Log}
	s.life, s.stop = context.WithCancel(context.Background())
	s.metrics = newServerMetrics(s, o.Metrics)
	s.sessions = newSessions(s.life, o.Authority, o.Controller.Shards(), o.Config, o.Log, s.metrics)
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS.Clone())
	}
	s.grpc = grpc.NewServer(grpc.Creds(&accepting{creds, s.handshakeFailed}), grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.MaxHeaderListSize(16<<10),
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshakeTime),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(2*streamWindow),
		grpc.WriteBufferSize(ioBuffer), grpc.ReadBufferSize(ioBuffer),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * o.Config.Lease, Timeout: 2 * o.Config.Lease}), // sessions notice silence first
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true))
	follow, session := followDesc, sessionDesc
	follow.Handler = func(_ any, ss grpc.ServerStream) error { return s.ended("Follow", ss.Context(), s.follow(ss)) }
	session.Handler = func(_ any, ss grpc.ServerStream) error { return s.ended("Session", ss.Context(), s.session(ss)) }
	s.grpc.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{follow, session},
		Methods: []grpc.MethodDesc{unary("Propose", s.propose), unary("ReadIndex", s.readIndex)}}, s)
	s.wait.Go(s.sessions.run)
	return s, nil
}

func unary(name string, call func(context.Context, []byte) ([]byte, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var b []byte
		if err := decode(&b); err != nil {
			return nil, err
		}
		return call(ctx, b)
	}}
}

// ErrPlain means that a port would be open to the network without TLS.
var ErrPlain = errors.New("the metadata feed without TLS is only for loopback addresses; configure the certificates of the cluster's internals")

// Serve accepts brokers until Close.
func (s *Server) Serve(l net.Listener) error {
	if s.o.TLS == nil && !loopback(l.Addr().String()) {
		return fmt.Errorf("%w: %s", ErrPlain, l.Addr())
	}
	err := s.grpc.Serve(&limited{Listener: l, free: make(chan struct{}, maxConnections)})
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// Close ends all calls and returns once they have ended.
func (s *Server) Close() {
	s.stop()
	s.grpc.Stop()
	s.wait.Wait()
}

// violation is what a broker must not do: its text is for both logs.
type violation struct{ error }

func (v violation) Unwrap() error { return v.error }

// refusal is why a broker is not served.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// ended returns the status of a call that ended with err, and logs what an operator should know.
func (s *Server) ended(call string, ctx context.Context, err error) error {
	from := "?"
	if p, ok := grpcpeer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	var v violation
	var r refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		s.metrics.refused.WithLabelValues(refusedHello).Inc()
		s.log.Warn("a broker was refused by the metadata feed", "from", from, "call", call, "err", err)
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.As(err, &v):
		s.metrics.refused.WithLabelValues(refusedViolation).Inc()
		s.log.Error("a broker does not keep to the protocol of the metadata feed", "from", from, "call", call, "err", err)
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}

// verify returns why a broker is not served, or nil.
func (s *Server) verify(ctx context.Context, h hello) error {
	if own := s.o.Controller.ClusterID(); h.cluster != "" && h.cluster != own {
		return refusal{fmt.Errorf("broker %d is of cluster %q, and this controller %d of cluster %q; check the list of controllers and the data directory", h.broker, h.cluster, s.o.ID, own)}
	}
	if s.o.TLS == nil {
		return nil
	}
	p, _ := grpcpeer.FromContext(ctx)
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return refusal{errors.New("the connection has no TLS")}
	}
	node, err := certs.Peer(info.State)
	if err != nil {
		return refusal{err}
	}
	if node.ID != h.broker || !node.Is(certs.RoleBroker) {
		return refusal{fmt.Errorf("the certificate is of %s, not of broker %d", node, h.broker)}
	}
	return nil
}

// request reads the request of a unary call.
func (s *Server) request(ctx context.Context, b []byte) (request, error) {
	r, err := parseRequest(b)
	if err != nil {
		return r, refusal{err}
	}
	if err := s.verify(ctx, r.hello); err != nil {
		return r, err
	}
	if r.shard > s.o.Controller.Shards() {
		return r, violation{fmt.Errorf("shard %d of %d", r.shard, s.o.Controller.Shards())}
	}
	return r, nil
}

// errNotAccepted has the code of calls that have had no effect, so that another controller may be
// asked.
func errNotAccepted(err error) error { return status.Error(codes.Aborted, err.Error()) }

func (s *Server) propose(ctx context.Context, b []byte) ([]byte, error) {
	r, err := s.request(ctx, b)
	if err == nil {
		err = takes(r.shard, r.cmd)
	}
	if err != nil {
		return nil, s.ended("Propose", ctx, err)
	}
	if why := s.o.Controller.Offline()[r.shard]; why != nil {
		return nil, errNotAccepted(fmt.Errorf("controller %d does not have shard %d: %w", s.o.ID, r.shard, why))
	}
	result, index, err := s.o.Controller.Propose(ctx, r.shard, r.cmd)
	if err != nil {
		return nil, s.ended("Propose", ctx, err)
	}
	return appendReply(nil, index, result), nil
}

// takes returns why the state machine of a shard would not take a command, or nil. Once such a
// command is in the log it stops every controller. What a state machine refuses as such does not
// depend on its state, so an empty one tells.
func takes(shard int, cmd []byte) error {
	if len(cmd) > MaxCommandBytes {
		return violation{fmt.Errorf("a command of %d bytes; at most %d are taken", len(cmd), MaxCommandBytes)}
	}
	c, err := machine.Decode(cmd)
	if err == nil && shard == 0 {
		_, _, err = machine.NewRoot().Apply(c)
	} else if err == nil {
		_, _, err = machine.NewShard().Apply(c)
	}
	if err != nil {
		return violation{fmt.Errorf("a command that shard %d does not take: %w", shard, err)}
	}
	return nil
}

func (s *Server) readIndex(ctx context.Context, b []byte) ([]byte, error) {
	r, err := s.request(ctx, b)
	if err != nil {
		return nil, s.ended("ReadIndex", ctx, err)
	}
	if why := s.o.Controller.Offline()[r.shard]; why != nil {
		return nil, errNotAccepted(fmt.Errorf("controller %d does not have shard %d: %w", s.o.ID, r.shard, why))
	}
	index, err := s.o.Controller.ReadIndex(ctx, r.shard)
	if err != nil {
		return nil, s.ended("ReadIndex", ctx, err)
	}
	return appendReply(nil, index, nil), nil
}

func (s *Server) handshakeFailed(remote net.Addr, err error) {
	s.metrics.refused.WithLabelValues(refusedHandshake).Inc()
	text := err.Error()
	if strings.Contains(text, "didn't provide a certificate") || strings.Contains(text, "first record does not look like a TLS handshake") {
		text = "it has no certificate; nodes need one of the cluster's internal CA (" + text + ")"
	}
	s.log.Warn("a connection to the metadata feed was refused", "from", remote, "err", text)
}

// accepting reports handshakes that fail.
type accepting struct {
	credentials.TransportCredentials
	failed func(remote net.Addr, err error)
}

// ServerHandshake implements credentials.TransportCredentials.
func (a *accepting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := a.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		a.failed(raw.RemoteAddr(), err)
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (a *accepting) Clone() credentials.TransportCredentials {
	return &accepting{a.TransportCredentials.Clone(), a.failed}
}

// limited bounds the connections of a listener: further ones wait.
type limited struct {
	net.Listener
	free chan struct{}
}

// Accept waits for a connection.
func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, done: sync.OnceFunc(func() { <-l.free })}, nil
}

type counted struct {
	net.Conn
	done func()
}

// Close closes the connection and lets another one in.
func (c *counted) Close() error {
	c.done()
	return c.Conn.Close()
}
