package feed_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
)

// registered registers broker 7 and makes it live in all shards.
func registered(t *testing.T, q *quorum.Quorum) (incarnation uint64) {
	t.Helper()
	return registeredAt(t, q, "")
}

// registeredAt is registered with an address for other brokers.
func registeredAt(t *testing.T, q *quorum.Quorum, address string) (incarnation uint64) {
	t.Helper()
	result, _ := propose(t, q, 0, machine.Encode(&machine.RegisterBroker{Broker: meta.Broker{ID: 7, Host: "b", Port: 9092, Internal: address}}))
	incarnation = uint64(first(t, result))
	for shard := 1; shard <= 2; shard++ {
		result, _ := propose(t, q, shard, machine.Encode(&machine.StartBroker{Broker: 7, Incarnation: incarnation}))
		first(t, result)
	}
	for _, shard := range []int{1, 2, 0} {
		result, _ := propose(t, q, shard, machine.Encode(&machine.ReadyBroker{Broker: 7, Incarnation: incarnation}))
		first(t, result)
	}
	return incarnation
}

// fenced reports in how many of the three shards broker 7 is fenced.
func fenced(t *testing.T, q *quorum.Quorum) (n int) {
	t.Helper()
	brokers, err := q.Brokers()
	if err != nil || len(brokers) != 1 {
		t.Fatal(brokers, err)
	}
	if brokers[0].Fenced {
		n++
	}
	for shard := 1; shard <= 2; shard++ {
		changes, err := q.Follow(shard, quorum.Position{}).Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s, err := machine.RestoreShard(changes.Snapshot.State)
		if err != nil {
			t.Fatal(err)
		}
		if _, live := s.All().Sessions.Live(7); !live {
			n++
		}
	}
	return n
}

// cable is a TCP proxy that can be cut, or hold what passes.
type cable struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	held  chan struct{} // closed: flowing
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{l: l, to: to, held: make(chan struct{})}
	close(c.held)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			go c.copy(in, out)
			go c.copy(out, in)
		}
	}()
	t.Cleanup(func() { l.Close(); c.release(); c.cut() })
	return c
}

func (c *cable) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		c.mu.Lock()
		held := c.held
		c.mu.Unlock()
		<-held
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections, as the end of a process does.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.conns {
		x.Close()
	}
	c.conns = nil
}

// hold lets nothing pass until release.
func (c *cable) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = make(chan struct{})
}

func (c *cable) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.held:
	default:
		close(c.held)
	}
}

// attended is a controller that decides on sessions, and broker 7 with a session over a cable.
func attended(t *testing.T, change func(*feed.Config)) (q *quorum.Quorum, p *port, c *client, wire *cable) {
	t.Helper()
	q = hosted(t)
	incarnation := registered(t, q)
	p = serve(t, q, func(o *feed.ServerOptions) {
		o.Authority = feed.AuthorityOf(q)
		change(&o.Config)
	})
	wire = newCable(t, p.address)
	c = connect(t, func(o *feed.ClientOptions) {
		o.Controllers[0].Address = wire.l.Addr().String()
		change(&o.Config)
	}, p)
	c.StartSessions(incarnation)
	eventually(t, "a session", func() bool { return metric(t, p.metrics, "sluice_feed_sessions") == 1 })
	return q, p, c, wire
}

// The end of a broker's process fences it in every shard, long before its lease ends.
func TestTheEndOfAProcessFences(t *testing.T) {
	q, p, c, _ := attended(t, func(c *feed.Config) { c.Lease = time.Minute })
	if n := fenced(t, q); n != 0 {
		t.Fatalf("fenced in %d shards although it has a session", n)
	}
	began := time.Now()
	must(t, c.Close())
	eventually(t, "broker 7 is fenced in three shards", func() bool { return fenced(t, q) == 3 })
	t.Logf("fenced everywhere after %v", time.Since(began))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v, as long as if only the lease counted", took)
	}
	if n := metric(t, p.metrics, "sluice_feed_fenced_total"); n != 1 {
		t.Errorf("%v fenced, want 1", n)
	}
}

// A connection that breaks and comes back within the grace costs a broker nothing.
func TestABrokenConnectionDoesNotFence(t *testing.T) {
	q, p, c, wire := attended(t, func(c *feed.Config) { c.Lease, c.Grace = time.Minute, 20*time.Second })
	for range 5 {
		wire.cut()
		eventually(t, "no session for a moment", func() bool { return metric(t, c.metrics, "sluice_feed_controllers") == 0 })
		eventually(t, "a session again", func() bool {
			return metric(t, p.metrics, "sluice_feed_sessions") == 1 && metric(t, c.metrics, "sluice_feed_controllers") == 1
		})
	}
	if n := fenced(t, q); n != 0 {
		t.Errorf("fenced in %d shards", n)
	}
}

// A broker of which nothing is heard is fenced when its lease ends, although its connections are
// there; it has a session again once it is heard.
func TestSilenceFences(t *testing.T) {
	q, p, _, wire := attended(t, func(c *feed.Config) { c.Lease = 1500 * time.Millisecond })
	wire.hold()
	began := time.Now()
	time.Sleep(700 * time.Millisecond)
	if n := fenced(t, q); n != 0 && time.Since(began) < 1200*time.Millisecond {
		t.Errorf("fenced in %d shards after %v, before the lease ended", n, time.Since(began))
	}
	eventually(t, "broker 7 is fenced in three shards", func() bool { return fenced(t, q) == 3 })
	wire.release()
	eventually(t, "a session again", func() bool { return metric(t, p.metrics, "sluice_feed_sessions") == 1 })
}

// A controller that becomes the leader gives brokers from which it has no stream the whole lease,
// and then fences them.
func TestANewLeaderWaitsForTheLease(t *testing.T) {
	q := hosted(t)
	registered(t, q)
	const lease = 1500 * time.Millisecond
	began := time.Now()
	serve(t, q, func(o *feed.ServerOptions) { o.Authority, o.Config.Lease = feed.AuthorityOf(q), lease })
	eventually(t, "broker 7 is fenced in three shards", func() bool { return fenced(t, q) == 3 })
	if took := time.Since(began); took < lease {
		t.Errorf("fenced after %v, before the lease of %v ended", took, lease)
	}
}

// A controller that becomes the leader and has no stream from a broker looks whether the process listens:
// one that does has the lease, one that does not has ended.
func TestANewLeaderLooksWhetherAProcessListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	q := hosted(t)
	registeredAt(t, q, l.Addr().String())
	began := time.Now()
	serve(t, q, func(o *feed.ServerOptions) { o.Authority, o.Config.Lease = feed.AuthorityOf(q), time.Minute })
	for range 3 { // looks
		conn, err := l.Accept()
		must(t, err)
		must(t, conn.Close())
	}
	if n := fenced(t, q); n != 0 {
		t.Errorf("fenced in %d shards although it listens", n)
	}
	must(t, l.Close())
	eventually(t, "broker 7 is fenced in three shards", func() bool { return fenced(t, q) == 3 })
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v, as if only the lease counted", took)
	}
}

// halting is an Authority that fails after shard 0, as a leader that dies there.
type halting struct{ feed.Authority }

func (h halting) Fence(ctx context.Context, shard int, r feed.Registered) error {
	if shard > 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	return h.Authority.Fence(ctx, shard, r)
}

// What a leader of shard 0 began when it died is completed by the next one.
func TestTheNextLeaderCompletesAFence(t *testing.T) {
	q := hosted(t)
	registered(t, q)
	short := func(o *feed.ServerOptions) { o.Config.Lease = 300 * time.Millisecond }
	p := serve(t, q, func(o *feed.ServerOptions) { o.Authority = halting{feed.AuthorityOf(q)}; short(o) })
	eventually(t, "broker 7 is fenced in shard 0", func() bool { return fenced(t, q) == 1 })
	p.kill()
	if n := fenced(t, q); n != 1 {
		t.Fatalf("fenced in %d shards, want 1", n)
	}
	serve(t, q, func(o *feed.ServerOptions) { o.Authority = feed.AuthorityOf(q); short(o) })
	eventually(t, "broker 7 is fenced in three shards", func() bool { return fenced(t, q) == 3 })
}

// Only the leader of shard 0 fences.
func TestOthersDoNotFence(t *testing.T) {
	q := hosted(t)
	registered(t, q)
	serve(t, q, func(o *feed.ServerOptions) { o.Config.Lease = 100 * time.Millisecond })
	time.Sleep(500 * time.Millisecond)
	if n := fenced(t, q); n != 0 {
		t.Errorf("fenced in %d shards by a controller that does not lead", n)
	}
}
