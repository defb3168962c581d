package raftnet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicemq/sluice/internal/certs"
)

// protocol is the name and version that both ends agree upon in the TLS handshake.
const protocol = "sluice-raft/1"

// Config has the settings of a Net.
type Config struct {
	ID          int32            // of this controller, from 0
	Incarnation uint32           // of its disk; another one means that the disk was lost
	Listen      string           // address to listen on
	Advertise   string           // address at which others reach it; empty: Listen
	TLS         *certs.Internal  // proves who this controller is, and verifies the others
	Peers       map[int32]string // addresses of other controllers, as far as known

	// Handle answers calls; from is who calls. Its errors are sent as text.
	Handle func(ctx context.Context, from int32, method string, body json.RawMessage) (any, error)
	// Down is called when another controller's process has ended, on a goroutine of its own.
	Down func(id int32)
	// Learned is called when a controller has told a new address.
	Learned func(id int32, address string)
	// Cluster returns the cluster's name, empty while this controller belongs to none.
	Cluster func() string
	Log     *slog.Logger
}

// Timeouts of what is never slow between controllers that work.
const (
	dialTimeout  = 2 * time.Second
	helloTimeout = 5 * time.Second
	writeTimeout = 5 * time.Second
	// silence ends a connection from a peer that no longer sends heartbeats.
	silence = 30 * time.Second
)

// Net is one controller's end of all connections to the others. Its methods are safe for
// concurrent use.
type Net struct {
	cfg      Config
	server   *tls.Config
	listener net.Listener
	life     context.Context
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	mu       sync.Mutex
	handlers handlers
	peers    map[int32]string
	conns    map[net.Conn]struct{} // accepted ones; closed with the Net
	streams  map[int32]*inbound    // by controller that sends Raft messages here
	failed   map[int32]bool        // controllers that the last dial did not reach; logged once
}

// inbound is what is known of a peer by its connections.
type inbound struct {
	incarnation uint32
	conns       int
	last        time.Time // when the last message came
}

// Name returns the name by which Raft knows a controller.
func Name(id int32) string { return "controller-" + strconv.Itoa(int(id)) }

// Number returns the number of a controller's replica. Above the id is the incarnation of the
// replica's log, which is random: a replica that has lost its log never comes back under its old
// number.
func Number(incarnation uint32, id int32) uint64 { return uint64(incarnation)<<32 | uint64(uint32(id)) }

// ControllerOf returns the controller whose replica a number is.
func ControllerOf(replica uint64) int32 { return int32(uint32(replica)) }

// Target returns the name by which Raft knows a replica: that of its controller and its incarnation,
// since Raft refuses a new replica under the name of another one.
func Target(replica uint64) string {
	return fmt.Sprintf("%s-%08x", Name(ControllerOf(replica)), uint32(replica>>32))
}

// ParseName returns the id in the name of a controller or of its replica.
func ParseName(name string) (int32, bool) {
	digits, ok := strings.CutPrefix(name, "controller-")
	digits, incarnation, replica := strings.Cut(digits, "-")
	id, err := strconv.ParseInt(digits, 10, 32)
	if !ok || err != nil || id < 0 {
		return 0, false
	}
	if !replica {
		return int32(id), Name(int32(id)) == name
	}
	n, err := strconv.ParseUint(incarnation, 16, 32)
	return int32(id), err == nil && Target(Number(uint32(n), int32(id))) == name
}

// New listens and starts to answer calls. Messages are dropped until Transport was created.
func New(cfg Config) (*Net, error) {
	if cfg.TLS == nil {
		return nil, errors.New("controllers talk to each other by TLS only: certificates of the internal CA are missing")
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for other controllers: %w", err)
	}
	if cfg.Advertise == "" {
		cfg.Advertise = l.Addr().String()
	}
	n := &Net{cfg: cfg, listener: l, peers: make(map[int32]string), conns: make(map[net.Conn]struct{}), streams: make(map[int32]*inbound), failed: make(map[int32]bool)}
	maps.Copy(n.peers, cfg.Peers)
	n.life, n.stop = context.WithCancel(context.Background())
	n.server = cfg.TLS.Server(certs.RoleController)
	n.server.NextProtos = []string{protocol}
	n.tasks.Go(n.accept)
	return n, nil
}

// Address returns where this controller listens.
func (n *Net) Address() string { return n.listener.Addr().String() }

// Advertised returns the address that this controller tells others.
func (n *Net) Advertised() string { return n.cfg.Advertise }

// Peers returns the known addresses of other controllers.
func (n *Net) Peers() map[int32]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.peers)
}

// SetPeer sets the address of another controller.
func (n *Net) SetPeer(id int32, address string) { n.learn(id, address) }

// Heard reports when a controller last sent something, with which incarnation, and whether its
// connection is still open.
func (n *Net) Heard(id int32) (last time.Time, incarnation uint32, open bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.streams[id]
	if s == nil {
		return time.Time{}, 0, false
	}
	return s.last, s.incarnation, s.conns > 0
}

// Close ends all connections and waits for their goroutines.
func (n *Net) Close() error {
	n.mu.Lock()
	n.stop()
	err := n.listener.Close()
	for c := range n.conns {
		_ = c.Close() // its reader sees the error
	}
	n.mu.Unlock()
	n.tasks.Wait()
	return err
}

// start runs f on a goroutine that Close waits for; false after Close.
func (n *Net) start(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life.Err() != nil {
		return false
	}
	n.tasks.Go(f)
	return true
}

func (n *Net) learn(id int32, address string) {
	if address == "" || id == n.cfg.ID {
		return
	}
	n.mu.Lock()
	changed := n.peers[id] != address
	n.peers[id] = address
	n.mu.Unlock()
	if changed && n.cfg.Learned != nil {
		n.cfg.Learned(id, address)
	}
}

// reached logs that a controller cannot be reached, or is again.
func (n *Net) reached(id int32, err error) {
	n.mu.Lock()
	before := n.failed[id]
	n.failed[id] = err != nil
	n.mu.Unlock()
	switch {
	case err != nil && !before:
		n.cfg.Log.Warn("cannot reach another controller; trying again", "controller", id, "err", err)
	case err == nil && before:
		n.cfg.Log.Info("reached another controller again", "controller", id)
	}
}

func (n *Net) cluster() string {
	if n.cfg.Cluster == nil {
		return ""
	}
	return n.cfg.Cluster()
}

// dial connects to a controller; certs.Any is whoever is at the address.
func (n *Net) dial(ctx context.Context, id int32, address string) (net.Conn, reply, error) {
	var r reply
	if address == "" {
		n.mu.Lock()
		address = n.peers[id]
		n.mu.Unlock()
	}
	if address == "" {
		return nil, r, fmt.Errorf("the address of %s is not known", Name(id))
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, r, err
	}
	settings := n.cfg.TLS.Client(certs.RoleController, id)
	settings.NextProtos = []string{protocol}
	conn := tls.Client(raw, settings)
	err = conn.HandshakeContext(ctx)
	if err == nil {
		r, err = n.greet(conn, id)
	}
	if err != nil {
		return nil, r, errors.Join(fmt.Errorf("controller at %s: %w", address, certs.Explain(err)), raw.Close())
	}
	return conn, r, nil
}

// greet says who dials and reads who answers.
func (n *Net) greet(conn net.Conn, id int32) (r reply, err error) {
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return r, err
	}
	err = writeJSON(conn, kindHello, hello{From: n.cfg.ID, To: id, Incarnation: n.cfg.Incarnation, Address: n.cfg.Advertise, Cluster: n.cluster()})
	if err == nil {
		err = readJSON(conn, kindReply, &r)
	}
	if err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, conn.SetDeadline(time.Time{})
}

// Call asks a controller and decodes its answer into out.
func (n *Net) Call(ctx context.Context, id int32, method string, in, out any) error {
	return n.callAt(ctx, id, "", method, in, out)
}

// CallAddress asks whoever is at an address.
func (n *Net) CallAddress(ctx context.Context, address, method string, in, out any) error {
	return n.callAt(ctx, certs.Any, address, method, in, out)
}

func (n *Net) callAt(ctx context.Context, id int32, address, method string, in, out any) (err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	conn, _, err := n.dial(ctx, id, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notClosed(conn.Close())) }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // the read below fails
	defer context.AfterFunc(n.life, func() { _ = conn.Close() })()
	if err := writeJSON(conn, kindCall, call{Method: method, Body: body}); err != nil {
		return err
	}
	var r reply
	if err := readJSON(conn, kindReply, &r); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return json.Unmarshal(r.Body, out)
}

func notClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}
