package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
)

const deadline = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// hosted is a quorum of one controller with two partition shards.
func hosted(t *testing.T) *quorum.Quorum {
	t.Helper()
	cfg := quorum.DefaultConfig(t.TempDir())
	cfg.Shards, cfg.Tick = 2, 5*time.Millisecond
	q, err := quorum.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// nobody is an Authority of a controller that does not lead shard 0.
type nobody struct{}

func (nobody) Leads() bool                                       { return false }
func (nobody) Brokers() ([]feed.Registered, error)               { return nil, nil }
func (nobody) Confirm(context.Context) error                     { return nil }
func (nobody) Fence(context.Context, int, feed.Registered) error { return errors.New("not the leader") }

// config has short times.
func config() feed.Config {
	cfg := feed.DefaultConfig()
	cfg.ReconnectMax = 50 * time.Millisecond
	return cfg
}

// logs keeps what was logged.
type logs struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// port is a server on an address that stays the same when it is restarted.
type port struct {
	t       *testing.T
	options feed.ServerOptions
	address string
	metrics *prometheus.Registry
	logs    *logs
	server  *feed.Server
	done    chan error
}

// serve starts a server of controller 1.
func serve(t *testing.T, c feed.Controller, change func(*feed.ServerOptions)) *port {
	t.Helper()
	p := &port{t: t, address: "127.0.0.1:0", logs: new(logs)}
	p.options = feed.ServerOptions{Config: config(), ID: 1, Controller: c, Authority: nobody{}, Log: p.logs.logger()}
	if change != nil {
		change(&p.options)
	}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *port) start() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = l.Addr().String()
	p.metrics = prometheus.NewRegistry()
	o := p.options
	o.Metrics = p.metrics
	if p.server, err = feed.NewServer(o); err != nil {
		p.t.Fatal(err)
	}
	server, done := p.server, make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	p.done = done
}

// kill ends the server and all its connections.
func (p *port) kill() {
	if p.server == nil {
		return
	}
	p.server.Close()
	if err := <-p.done; err != nil {
		p.t.Error(err)
	}
	p.server = nil
}

func (p *port) endpoint() feed.Endpoint { return feed.Endpoint{ID: p.options.ID, Address: p.address} }

// metric returns the value of a counter or gauge, summed over its labels.
func metric(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// client connects broker 7 with controllers.
type client struct {
	*feed.Client
	metrics *prometheus.Registry
	logs    *logs
}

func connect(t *testing.T, change func(*feed.ClientOptions), to ...*port) *client {
	t.Helper()
	c := &client{metrics: prometheus.NewRegistry(), logs: new(logs)}
	o := feed.ClientOptions{Config: config(), Broker: 7, Log: c.logs.logger(), Metrics: c.metrics}
	for _, p := range to {
		o.Controllers = append(o.Controllers, p.endpoint())
	}
	if change != nil {
		change(&o)
	}
	var err error
	if c.Client, err = feed.NewClient(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// replica is a copy of a shard that a follower feeds.
type replica struct {
	t     *testing.T
	shard int
	stop  context.CancelFunc
	done  chan struct{}

	mu        sync.Mutex
	root      *machine.Root
	parts     *machine.Shard
	index     uint64
	snapshots int
	failed    error
}

// follow feeds a copy from a source, until the test or stop ends it.
func follow(t *testing.T, from consensus.Source, shard int) *replica {
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{t: t, shard: shard, stop: cancel, done: make(chan struct{}), root: machine.NewRoot(), parts: machine.NewShard()}
	f := from.Follow(shard, quorum.Position{})
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			changes, err := f.Next(ctx)
			r.apply(changes, err)
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

func (r *replica) apply(changes quorum.Changes, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed = err
		return
	}
	if s := changes.Snapshot; s != nil {
		r.snapshots++
		r.index = s.Index
		if r.shard == 0 {
			r.root, r.failed = machine.RestoreRoot(s.State)
		} else {
			r.parts, r.failed = machine.RestoreShard(s.State)
		}
	}
	for _, e := range changes.Entries {
		cmd, err := machine.Decode(e.Cmd)
		if err == nil && r.shard == 0 {
			_, _, err = r.root.Apply(cmd)
		} else if err == nil {
			_, _, err = r.parts.Apply(cmd)
		}
		if err != nil {
			r.failed = err
			return
		}
		r.index = e.Index
	}
}

// state returns the copy's index and encoded state.
func (r *replica) state() (uint64, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shard == 0 {
		return r.index, string(r.root.Snapshot())
	}
	return r.index, string(r.parts.Snapshot())
}

func (r *replica) reaches(index uint64) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("a copy of shard %d at index %d", r.shard, index), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failed != nil {
			r.t.Fatalf("the copy of shard %d failed: %v", r.shard, r.failed)
		}
		return r.index >= index
	})
}

// source is a quorum as a consensus.Source, as in one process.
type source struct{ *quorum.Quorum }

func (s source) Follow(shard int, after quorum.Position) consensus.Follower {
	return s.Quorum.Follow(shard, after)
}

// prepare is a small change of a partition shard.
func prepare() []byte {
	return machine.Encode(&machine.PrepareObject{ID: meta.NewObjectID(), Shards: 3, ExpiryMs: 1})
}

// allocate reserves n producer ids: the result tells how many were reserved before.
func allocate(n int32) []byte { return machine.Encode(&machine.AllocateIDs{Count: n}) }

// first returns the first producer id of a result.
func first(t *testing.T, result []byte) int64 {
	t.Helper()
	r, err := machine.DecodeResult(result)
	if err != nil || r.Code.Err() != nil {
		t.Fatal(err, r.Code.Err())
	}
	return r.Number
}

// wide is a change of shard 0 of some size.
func wide(i, size int) []byte {
	return machine.Encode(&machine.BeginTopic{Spec: meta.TopicSpec{Name: fmt.Sprintf("t%d", i), Partitions: 1, Replication: 1,
		Configs: map[string]string{"retention.ms": strings.Repeat("9", size)}}})
}
