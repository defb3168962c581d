package raftnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"

	"github.com/sluicemq/sluice/internal/certs"
)

// identity returns the TLS of a controller with a certificate of the CA in dir.
func identity(t testing.TB, dir string, id int32) *certs.Internal {
	t.Helper()
	node := certs.Node{ID: id, Roles: []certs.Role{certs.RoleController}}
	f, err := certs.EnsureNode(dir, node)
	must(t, err)
	i, err := certs.NewInternal(f, node, slog.New(slog.DiscardHandler))
	must(t, err)
	return i
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, cfg Config) *Net {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	n, err := New(cfg)
	must(t, err)
	t.Cleanup(func() { _ = n.Close() }) // some tests have closed it
	return n
}

// attach connects handlers as dragonboat does, and passes on what arrives.
func attach(n *Net) (raftio.ITransport, chan raftpb.MessageBatch, chan raftpb.Chunk) {
	batches, chunks := make(chan raftpb.MessageBatch, 64), make(chan raftpb.Chunk, 64)
	t := Factory{n}.Create(config.NodeHostConfig{}, func(b raftpb.MessageBatch) { batches <- b }, func(c raftpb.Chunk) bool { chunks <- c; return true })
	_ = t.Start() // never fails
	return t, batches, chunks
}

func got[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// arrives sends a message until it has arrived: one that waited too long for its connection is lost.
func arrives(t *testing.T, from raftio.IConnection, m raftpb.MessageBatch, to <-chan raftpb.MessageBatch) raftpb.MessageBatch {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		must(t, from.SendMessageBatch(m))
		select {
		case got := <-to:
			return got
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("no message arrives")
	return m
}

func TestOnlyControllersOfTheClusterAreServed(t *testing.T) {
	dir := t.TempDir()
	calls := make(chan int32, 64)
	n := open(t, Config{ID: 1, TLS: identity(t, dir, 1), Cluster: func() string { return "a" },
		Handle: func(_ context.Context, from int32, _ string, _ json.RawMessage) (any, error) {
			calls <- from
			return "yes", nil
		}})
	broker := certs.Node{ID: 2, Roles: []certs.Role{certs.RoleBroker}}
	files, err := certs.EnsureNode(dir, broker)
	must(t, err)
	asBroker, err := certs.NewInternal(files, broker, slog.New(slog.DiscardHandler))
	must(t, err)
	for name, i := range map[string]*certs.Internal{"another CA": identity(t, t.TempDir(), 2), "a broker": asBroker} {
		m := open(t, Config{ID: 2, TLS: i})
		if err := m.CallAddress(t.Context(), n.Address(), "x", 1, new(string)); err == nil {
			t.Errorf("%s: was served", name)
		}
	}
	mine := identity(t, dir, 2).Client(certs.RoleController, 1)
	bare, old, other := mine.Clone(), mine.Clone(), mine.Clone()
	bare.GetClientCertificate, old.MinVersion, old.MaxVersion, other.NextProtos = nil, tls.VersionTLS12, tls.VersionTLS12, []string{"other/1"}
	for name, c := range map[string]*tls.Config{"no certificate": bare, "TLS 1.2": old, "another protocol": other, "no protocol": mine} {
		conn, err := tls.Dial("tcp", n.Address(), c)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil {
			t.Errorf("%s: was served", name)
		}
	}
	if len(calls) > 0 {
		t.Errorf("%d calls were answered", len(calls))
	}
	m := open(t, Config{ID: 2, TLS: identity(t, dir, 2)})
	var out string
	must(t, m.CallAddress(t.Context(), n.Address(), "x", 1, &out))
	if out != "yes" || got(t, calls) != 2 {
		t.Error(out)
	}
}

// What a controller says of itself is compared with its certificate and with who was meant.
func TestControllersOfTheSameIDOrAnotherClusterAreToldSo(t *testing.T) {
	dir := t.TempDir()
	n := open(t, Config{ID: 1, TLS: identity(t, dir, 1), Cluster: func() string { return "a" }})
	for name, x := range map[string]struct {
		id, certified, to int32
		cluster, text     string
	}{
		"same id":              {1, 1, certs.Any, "a", "two controllers have the id 1"},
		"another's name":       {3, 2, 1, "a", "controller-3 has the certificate of node 2"},
		"another was expected": {2, 2, 7, "a", "not controller 7"},
		"another cluster":      {2, 2, 1, "b", "controller-2 belongs to another cluster"},
	} {
		m := open(t, Config{ID: x.id, TLS: identity(t, dir, x.certified), Cluster: func() string { return x.cluster }})
		err := m.callAt(t.Context(), x.to, n.Address(), "x", 1, new(string))
		if err == nil || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m, err := New(Config{ID: 1, Listen: "127.0.0.1:0"}); err == nil {
		_ = m.Close()
		t.Error("a controller without TLS was started")
	}
}

// A controller that comes back at another address is reached there: it tells the others.
func TestMessagesFollowAControllerToItsNewAddress(t *testing.T) {
	dir := t.TempDir()
	a := open(t, Config{ID: 1, TLS: identity(t, dir, 1)})
	b := open(t, Config{ID: 2, TLS: identity(t, dir, 2), Peers: map[int32]string{1: a.Address()}})
	a.SetPeer(2, b.Address())
	transport, _, _ := attach(a)
	_, batches, chunks := attach(b)
	conn, err := transport.GetConnection(t.Context(), Name(2))
	must(t, err)
	defer conn.Close()
	at := func(index uint64) raftpb.MessageBatch {
		return raftpb.MessageBatch{Requests: []raftpb.Message{{Type: raftpb.Heartbeat, ShardID: 1, From: Number(5, 1), To: 2, LogIndex: index}}}
	}
	if m := arrives(t, conn, at(1), batches); m.Requests[0].LogIndex != 1 || m.SourceAddress != Target(Number(5, 1)) {
		t.Errorf("%+v", m)
	}
	snapshots, err := transport.GetSnapshotConnection(t.Context(), Name(2))
	must(t, err)
	must(t, snapshots.SendChunk(raftpb.Chunk{ShardID: 1, ChunkId: 7, Data: bytes.Repeat([]byte{1}, 2<<20)}))
	snapshots.Close()
	if c := got(t, chunks); c.ChunkId != 7 || len(c.Data) != 2<<20 {
		t.Errorf("chunk %d of %d bytes", c.ChunkId, len(c.Data))
	}

	must(t, b.Close())
	must(t, conn.SendMessageBatch(at(2))) // lost
	c := open(t, Config{ID: 2, TLS: identity(t, dir, 2), Peers: map[int32]string{1: a.Address()}})
	back, batches, _ := attach(c)
	there, err := back.GetConnection(t.Context(), Name(1))
	must(t, err)
	defer there.Close()
	if m := arrives(t, conn, at(3), batches); m.Requests[0].LogIndex != 3 {
		t.Errorf("%+v", m)
	}
}

// Down is for processes that have ended, not for connections.
func TestABrokenConnectionAloneIsNotTheEndOfAProcess(t *testing.T) {
	dir := t.TempDir()
	down := make(chan int32, 8)
	a := open(t, Config{ID: 1, TLS: identity(t, dir, 1), Down: func(id int32) { down <- id }})
	b := open(t, Config{ID: 2, TLS: identity(t, dir, 2), Peers: map[int32]string{1: a.Address()}})
	_, batches, _ := attach(a)
	transport, _, _ := attach(b)
	conn, err := transport.GetConnection(t.Context(), Name(1))
	must(t, err)
	message := raftpb.MessageBatch{Requests: []raftpb.Message{{Type: raftpb.Heartbeat, ShardID: 1, From: Number(6, 2), To: 1}}}
	arrives(t, conn, message, batches)
	conn.Close()
	for _, _, open := a.Heard(2); open; _, _, open = a.Heard(2) {
		time.Sleep(time.Millisecond)
	}
	conn, err = transport.GetConnection(t.Context(), Name(1))
	must(t, err)
	arrives(t, conn, message, batches)
	if len(down) > 0 {
		t.Error("a controller that lives was taken for dead")
	}
	must(t, b.Close())
	if id := got(t, down); id != 2 {
		t.Errorf("controller %d ended", id)
	}
}

// What dragonboat would panic on, or take for a message of its own, ends the connection.
func TestMessagesThatOnlyAControllerSendsItselfAreRefused(t *testing.T) {
	dir := t.TempDir()
	a := open(t, Config{ID: 1, TLS: identity(t, dir, 1)})
	_, batches, _ := attach(a)
	b := open(t, Config{ID: 2, TLS: identity(t, dir, 2), Peers: map[int32]string{1: a.Address()}})
	for _, m := range []raftpb.Message{{Type: raftpb.Heartbeat, From: 2}, {Type: raftpb.LocalTick, From: 2, To: 1}, {Type: raftpb.InstallSnapshot, From: 2, To: 1},
		{Type: raftpb.Heartbeat, From: Number(1, 3), To: 1}} {
		raw, _, err := b.dial(t.Context(), 1, "")
		must(t, err)
		c := &connection{conn: raw}
		must(t, c.SendMessageBatch(raftpb.MessageBatch{Requests: []raftpb.Message{m}}))
		if _, err := raw.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v: %v", m.Type, err)
		}
		c.Close()
	}
	if len(batches) > 0 {
		t.Error("one was passed on")
	}
}

func TestNames(t *testing.T) {
	for _, id := range []int32{0, 1, 7, 1<<31 - 1} {
		if got, ok := ParseName(Name(id)); !ok || got != id {
			t.Error(id, got, ok)
		}
	}
	if got, ok := ParseName(Target(Number(1<<31, 7))); !ok || got != 7 || ControllerOf(Number(1<<31, 7)) != 7 {
		t.Error(got, ok)
	}
	for _, name := range []string{"", "controller-1-", "controller-1-1", "controller-1-0000000g", "controller-", "controller-01", "controller--1", "controller-2147483648", "node-1"} {
		if _, ok := ParseName(name); ok {
			t.Errorf("%q is no name", name)
		}
	}
}

func FuzzFrame(f *testing.F) {
	var ok bytes.Buffer
	_ = writeJSON(&ok, kindHello, hello{From: 1, To: 2, Address: "a:1"})
	f.Add(ok.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, kindMessages})
	f.Fuzz(func(t *testing.T, b []byte) {
		var buf bytes.Buffer
		in := bytes.NewReader(b)
		for {
			kind, err := readFrame(in, &buf)
			if err != nil {
				return
			}
			if most, err := limit(kind); err != nil || buf.Len() > most || buf.Len() > len(b) {
				t.Fatalf("%d bytes of kind %d", buf.Len(), kind)
			}
		}
	})
}
