package feed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// insist calls f again while the metadata does not answer in time.
func insist(t *testing.T, f func() error) {
	t.Helper()
	eventually(t, "an answer", func() bool {
		err := f()
		if err != nil && !errors.Is(err, meta.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// stay has a broker make itself ready again until the test or the returned function ends it.
func stay(t *testing.T, b *consensus.Cluster, c *client, incarnation uint64) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.StayReady(ctx, 7, incarnation, func() bool { return metric(t, c.metrics, "sluice_feed_controllers") > 0 })
	}()
	end := func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { _ = end() }) // a test that cares calls it
	return end
}

// present is a controller that decides on sessions, and broker 7 with a session over a cable, which is
// ready and stays so.
func present(t *testing.T, change func(*feed.ServerOptions)) (q *quorum.Quorum, p *port, b *consensus.Cluster, c *client, wire *cable) {
	t.Helper()
	q = hosted(t)
	p = serve(t, q, func(o *feed.ServerOptions) {
		o.Authority = feed.AuthorityOf(q)
		change(o)
	})
	wire = newCable(t, p.address)
	c = connect(t, func(o *feed.ClientOptions) {
		o.Controllers[0].Address, o.Config.Lease = wire.l.Addr().String(), p.options.Config.Lease
	}, p)
	b = join(t, c)
	incarnation, err := b.StartBroker(t.Context(), meta.Broker{ID: 7, Host: "b", Port: 9092})
	must(t, err)
	c.StartSessions(incarnation)
	eventually(t, "a session", func() bool { return metric(t, p.metrics, "sluice_feed_sessions") == 1 })
	must(t, b.ReadyBroker(t.Context(), 7, incarnation))
	stay(t, b, c, incarnation)
	return q, p, b, c, wire
}

// A broker that was fenced because nothing was heard of it is live again in every shard soon after it
// is heard again, with the same incarnation, and as often as that happens.
func TestAFencedBrokerThatIsBackIsLive(t *testing.T) {
	q, p, _, _, wire := present(t, func(o *feed.ServerOptions) { o.Config.Lease = 800 * time.Millisecond })
	for i := range 2 {
		wire.hold()
		eventually(t, "broker 7 is fenced in three shards", func() bool { return fenced(t, q) == 3 })
		wire.release()
		began := time.Now()
		eventually(t, "broker 7 is live in three shards", func() bool { return fenced(t, q) == 0 })
		t.Logf("live again after %v", time.Since(began))
		brokers, err := q.Brokers()
		must(t, err)
		if now := brokers[0]; now.Incarnation != 1 || now.Session != uint64(i+1) {
			t.Errorf("%+v after %d sessions", now, i+1)
		}
	}
	if n := metric(t, p.metrics, "sluice_feed_fenced_total"); n != 2 {
		t.Errorf("fenced %v times, want 2", n)
	}
}

// late is an Authority whose changes of one shard come when release is closed, although whoever asked
// for them has given up: they were on their way to the shard's leader.
type late struct {
	feed.Authority
	shard   int
	sent    chan struct{}
	release chan struct{}
	came    chan error
}

func (l *late) Fence(ctx context.Context, shard int, r feed.Registered) error {
	if shard != l.shard {
		return l.Authority.Fence(ctx, shard, r)
	}
	go func() {
		<-l.release
		l.came <- l.Authority.Fence(context.Background(), shard, r)
	}()
	close(l.sent)
	<-ctx.Done()
	return ctx.Err()
}

// A fence that is applied late, when the broker is back and ready again, changes nothing.
func TestALateFenceIsRefused(t *testing.T) {
	slow := &late{shard: 1, sent: make(chan struct{}), release: make(chan struct{}), came: make(chan error, 1)}
	q, _, b, _, wire := present(t, func(o *feed.ServerOptions) {
		slow.Authority = o.Authority
		o.Authority, o.Config.Lease, o.Config.Grace = slow, 800*time.Millisecond, 10*time.Millisecond
	})
	wire.hold()
	<-slow.sent
	wire.release()
	eventually(t, "broker 7 is live in the session after that in all shards", func() bool {
		for _, s := range b.View().Sessions {
			if s[7] != (meta.Session{Incarnation: 1, Number: 1, Live: true}) {
				return false
			}
		}
		return fenced(t, q) == 0
	})
	close(slow.release)
	if err := <-slow.came; !errors.Is(err, meta.ErrStaleSession) {
		t.Errorf("the late fence: %v", err)
	}
	if n := fenced(t, q); n != 0 {
		t.Errorf("fenced in %d shards", n)
	}
}

// What a process that died had proposed to become ready changes nothing when it is applied after the
// process was fenced, in whichever shard.
func TestALateReadyIsRefused(t *testing.T) {
	q := hosted(t)
	result, _ := propose(t, q, 0, machine.Encode(&machine.RegisterBroker{Broker: meta.Broker{ID: 7, Host: "b", Port: 9092}}))
	ready := machine.Encode(&machine.ReadyBroker{Broker: 7, Incarnation: uint64(first(t, result))})
	for shard := 1; shard <= 2; shard++ {
		propose(t, q, shard, machine.Encode(&machine.StartBroker{Broker: 7, Incarnation: 1}))
	}
	propose(t, q, 1, ready) // it dies before the others have that
	serve(t, q, func(o *feed.ServerOptions) {
		o.Authority, o.Config.Lease = feed.AuthorityOf(q), 300*time.Millisecond
	})
	eventually(t, "its first session has ended in all shards", func() bool {
		for shard := 1; shard <= 2; shard++ {
			if s := sessionIn(t, q, shard); s.Number == 0 || s.Live {
				return false
			}
		}
		return true
	})
	for shard := range 3 {
		result, _ := propose(t, q, shard, ready)
		r, err := machine.DecodeResult(result)
		must(t, err)
		if !errors.Is(r.Code.Err(), meta.ErrStaleSession) {
			t.Errorf("shard %d: %v", shard, r.Code.Err())
		}
	}
	if n := fenced(t, q); n != 3 {
		t.Errorf("fenced in %d shards", n)
	}
}

// sessionIn returns the session of broker 7 in a partition shard.
func sessionIn(t *testing.T, q *quorum.Quorum, shard int) meta.Session {
	t.Helper()
	changes, err := q.Follow(shard, quorum.Position{}).Next(t.Context())
	must(t, err)
	s, err := machine.RestoreShard(changes.Snapshot.State)
	must(t, err)
	return s.All().Sessions[7]
}

// A process that is replaced ends: it does not make itself ready again.
func TestAReplacedProcessIsTold(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	c := connect(t, nil, p)
	one, two := join(t, c), join(t, connect(t, nil, p))
	ctx := t.Context()
	broker := meta.Broker{ID: 7, Host: "b", Port: 9092}
	for range 2 { // the first answer may be lost
		if inc, err := one.StartBroker(ctx, broker); err != nil || inc != 1 {
			t.Fatalf("incarnation %d, %v", inc, err)
		}
	}
	must(t, one.ReadyBroker(ctx, 7, 1))
	done := make(chan error, 1)
	go func() { done <- one.StayReady(ctx, 7, 1, func() bool { return true }) }()
	inc, err := two.RegisterBroker(ctx, broker)
	if err != nil || inc != 2 {
		t.Fatalf("incarnation %d, %v", inc, err)
	}
	if err := <-done; !errors.Is(err, meta.ErrStaleIncarnation) {
		t.Errorf("the process before was told: %v", err)
	}
	if err := one.ReadyBroker(ctx, 7, 1); !errors.Is(err, meta.ErrStaleIncarnation) {
		t.Errorf("the process before is ready again: %v", err)
	}
}

// A shard that comes after a broker has replayed its WAL is offline for it until the shard knows the
// process and which replicas lack records. It is not entered while that would make the broker lead
// without records that are in its WAL.
func TestAShardThatComesAfterRecovery(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	ctx := t.Context()
	first, other := join(t, connect(t, nil, p)), join(t, connect(t, func(o *feed.ClientOptions) { o.Broker = 8 }, p))
	for i, b := range []*consensus.Cluster{first, other} {
		if _, err := b.RegisterBroker(ctx, meta.Broker{ID: int32(7 + i), Host: "b", Port: 9092}); err != nil {
			t.Fatal(err)
		}
	}
	made, err := first.CreateTopic(ctx, meta.TopicSpec{Name: "t", Partitions: 8, Replication: 2, Configs: map[string]string{"min.insync.replicas": "2"}})
	must(t, err)
	lost := serve(t, partial{q, 1}, func(o *feed.ServerOptions) { o.ID = 2 })
	b := join(t, connect(t, func(o *feed.ClientOptions) { o.Config.Timeout = 300 * time.Millisecond }, lost))
	var inc uint64
	insist(t, func() (err error) {
		inc, err = b.StartBroker(ctx, meta.Broker{ID: 7, Host: "b", Port: 9092})
		return err
	})
	b.Recovered(func(topic.Partition, *meta.Partition) consensus.Missing {
		return consensus.Missing{Records: true, InWAL: true}
	})
	must(t, other.FenceBroker(ctx, 8, 1)) // then nobody else leads, though it may
	lost.kill()
	lost.options.Controller = q
	lost.start()
	insist(t, func() error { return b.ReadyBroker(ctx, 7, inc) })
	eventually(t, "the shard knows the process", func() bool { return sessionIn(t, q, 1).Incarnation == inc })
	if s := sessionIn(t, q, 1); s.Live {
		t.Errorf("it is live in a shard that it must not lead in: %+v", s)
	}
	if len(b.Offline()) != 1 || b.View().Sessions[0] != nil {
		t.Errorf("offline %v, sessions %v", b.Offline(), b.View().Sessions[0])
	}
	must(t, other.ReadyBroker(ctx, 8, 1))
	eventually(t, "all shards", func() bool { return len(b.Offline()) == 0 && sessionIn(t, q, 1).Live })
	now, _ := b.View().TopicByName("t")
	for i, part := range now.Partitions {
		if b.ShardOf(topic.Partition{Topic: made.ID, Index: int32(i)}) != 1 {
			continue
		}
		if part.Offline || part.Leader != 8 || fmt.Sprint(part.ISR) != "[8]" || len(part.ELR) != 0 {
			t.Errorf("partition %d: %+v", i, *part)
		}
	}
}
