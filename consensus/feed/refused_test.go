package feed_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/meta"
)

// ring is an internal CA and the nodes that it has certified.
type ring struct {
	t   *testing.T
	dir string
}

func newRing(t *testing.T) ring {
	t.Helper()
	return ring{t, t.TempDir()}
}

func (r ring) node(id int32, roles ...certs.Role) *certs.Internal {
	r.t.Helper()
	n := certs.Node{ID: id, Roles: roles}
	f, err := certs.EnsureNode(r.dir, n)
	if err != nil {
		r.t.Fatal(err)
	}
	i, err := certs.NewInternal(f, n, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

func client7(i *certs.Internal) func(int32) *tls.Config {
	return func(controller int32) *tls.Config { return i.Client(certs.RoleController, controller) }
}

// Over mutual TLS everything works, and each kind of stranger gets one sentence.
func TestOverTLS(t *testing.T) {
	r := newRing(t)
	q := hosted(t)
	controller := r.node(1, certs.RoleController)
	p := serve(t, q, func(o *feed.ServerOptions) { o.TLS = controller.Server(certs.RoleBroker, certs.RoleController) })
	c := connect(t, func(o *feed.ClientOptions) { o.TLS = client7(r.node(7, certs.RoleBroker)) }, p)
	_, last := propose(t, c, 1, prepare())
	follow(t, c, 1).reaches(last)

	other := newRing(t).node(7, certs.RoleBroker)
	for name, x := range map[string]struct {
		change         func(*feed.ClientOptions)
		inError, inLog string // in the client's error and log; in the server's log
	}{
		"another cluster's id": {func(o *feed.ClientOptions) { o.ClusterID, o.TLS = "other", client7(r.node(7, certs.RoleBroker)) },
			`broker 7 is of cluster "other", and this controller 1 of cluster`, `broker 7 is of cluster`},
		"another broker's certificate": {func(o *feed.ClientOptions) { o.TLS = client7(r.node(8, certs.RoleBroker)) },
			"the certificate is of broker 8, not of broker 7", "the certificate is of broker 8, not of broker 7"},
		"a controller's certificate": {func(o *feed.ClientOptions) { o.TLS = client7(r.node(9, certs.RoleController)) },
			"the certificate is of controller 9, not of broker 7", "not of broker 7"},
		"a certificate of another CA": {func(o *feed.ClientOptions) { o.TLS = client7(other) },
			"none of the cluster's internal CA", ""},
		"no certificate": {func(o *feed.ClientOptions) {
			o.TLS = func(int32) *tls.Config {
				cfg := r.node(7, certs.RoleBroker).Client(certs.RoleController, 1)
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
				return cfg
			}
		}, "", "it has no certificate; nodes need one of the cluster's internal CA"},
		"no TLS": {nil, "", "it has no certificate; nodes need one of the cluster's internal CA"},
		"another controller's address": {func(o *feed.ClientOptions) {
			o.Controllers[0].ID, o.TLS = 2, client7(r.node(7, certs.RoleBroker))
		}, "controller 1 is at this address, not controller 2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, func(o *feed.ClientOptions) {
				o.Config.Timeout = 50 * time.Millisecond
				if x.change != nil {
					x.change(o)
				}
			}, p)
			c.Follow(1, quorum.Position{})
			eventually(t, "a sentence in the broker's log with "+x.inError, func() bool {
				return strings.Contains(c.logs.String(), strings.ReplaceAll(x.inError, `"`, `\"`))
			})
			eventually(t, "a sentence in the controller's log with "+x.inLog, func() bool { return strings.Contains(p.logs.String(), x.inLog) })
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, _, err := c.Cluster(ctx); !errors.Is(err, meta.ErrUnavailable) || !strings.Contains(err.Error(), x.inError) {
				t.Errorf("error %v\nwant one with %q", err, x.inError)
			}
			if _, _, err := c.Propose(t.Context(), 0, allocate(1)); err == nil {
				t.Error("its proposal was accepted")
			}
		})
	}
}

// raw passes bytes through gRPC.
type raw struct{}

func (raw) Name() string { return "sluice-feed" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (raw) Unmarshal(b mem.BufferSlice, v any) error { *v.(*[]byte) = b.Materialize(); return nil }

// Another version, and what is no message at all, get one sentence.
func TestWhatIsNotOurs(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	conn, err := grpc.NewClient("passthrough:///"+p.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	hello := func(version uint16) []byte {
		b := binary.LittleEndian.AppendUint16([]byte("SLUICEFD"), version)
		return append(b, make([]byte, 4+8+1)...)
	}
	for name, x := range map[string]struct {
		first, second []byte
		want          string
	}{
		"a later version":       {hello(feed.Version + 1), nil, fmt.Sprintf("the broker has version %d of the metadata feed, and this is version %d; use the same release of Sluice on both", feed.Version+1, feed.Version)},
		"nothing":               {nil, nil, "the first message is not one of the metadata feed"},
		"HTTP":                  {[]byte("GET / HTTP/1.1\r\n"), nil, "the first message is not one of the metadata feed"},
		"a hello that is short": {hello(feed.Version)[:12], nil, "too short"},
		"bytes after the hello": {append(hello(feed.Version), 1), nil, "something follows the hello"},
		"an unknown kind":       {hello(feed.Version), []byte{99, 0, 0, 0, 0, 0, 0}, "unknown kind 99"},
		"entries of a broker":   {hello(feed.Version), []byte{3, 0, 0, 0, 0, 0, 0}, "a message of kind 3 from a broker that follows"},
		"an unknown shard":      {hello(feed.Version), append([]byte{2, 200, 0, 0, 0, 0, 0}, make([]byte, 16)...), "shard 200 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			ss, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/sluice.Feed/Follow", grpc.ForceCodecV2(raw{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range [][]byte{x.first, x.second} {
				if b != nil || x.second == nil && len(x.first) == 0 {
					_ = ss.SendMsg(b) // RecvMsg has the reason
				}
			}
			for err == nil {
				var b []byte
				err = ss.RecvMsg(&b)
			}
			if got := status.Convert(err).Message(); !strings.Contains(got, x.want) {
				t.Errorf("told %q, want %q", got, x.want)
			}
			if !strings.Contains(p.logs.String(), x.want) {
				t.Errorf("the log has no %q", x.want)
			}
		})
	}
	propose(t, connect(t, nil, p), 0, allocate(1))
}

// Without TLS neither side uses an address that others can reach.
func TestPlainIsForLoopbackOnly(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	err := p.server.Serve(elsewhere{})
	if !errors.Is(err, feed.ErrPlain) {
		t.Errorf("Serve: %v, want %v", err, feed.ErrPlain)
	}
	o := feed.ClientOptions{Config: config(), Controllers: []feed.Endpoint{{ID: 1, Address: "192.0.2.1:9094"}}, Log: slog.New(slog.DiscardHandler)}
	if _, err := feed.NewClient(o); !errors.Is(err, feed.ErrPlain) {
		t.Errorf("NewClient: %v, want %v", err, feed.ErrPlain)
	}
}

// elsewhere is a listener that others can reach.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9094} }
