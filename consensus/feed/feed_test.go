package feed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
)

func propose(t *testing.T, c interface {
	Propose(context.Context, int, []byte) ([]byte, uint64, error)
}, shard int, cmd []byte) (result []byte, index uint64) {
	t.Helper()
	result, index, err := c.Propose(t.Context(), shard, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return result, index
}

// Copies of all shards behind two clients, one of which began later, and one in the process of the
// controller are the same, byte for byte, at the same index (invariant 24 of the protocol).
func TestCopiesAreEqual(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	early := connect(t, nil, p)
	var copies [3][]*replica
	for shard := range 3 {
		copies[shard] = append(copies[shard], follow(t, early, shard))
	}
	last := make([]uint64, 3)
	for i := range 50 {
		_, last[0] = propose(t, early, 0, allocate(3))
		_, last[1+i%2] = propose(t, q, 1+i%2, prepare())
	}
	late := connect(t, nil, p)
	for shard := range 3 {
		copies[shard] = append(copies[shard], follow(t, late, shard), follow(t, source{q}, shard))
	}
	_, last[0] = propose(t, late, 0, wide(1, 100))
	_, last[1] = propose(t, late, 1, prepare())
	for shard := range 3 {
		index, err := late.ReadIndex(t.Context(), shard)
		if err != nil || index < last[shard] {
			t.Fatalf("shard %d: read index %d, %v; a change at %d was acknowledged", shard, index, err, last[shard])
		}
		for _, r := range copies[shard] {
			r.reaches(index)
		}
		at, want := copies[shard][0].state()
		for i, r := range copies[shard] {
			if index, state := r.state(); index != at || state != want {
				t.Errorf("shard %d: copy %d differs: index %d, %d bytes; the first %d, %d bytes", shard, i, index, len(state), at, len(want))
			}
		}
	}
}

// A server that is killed in the middle costs nothing but time: the stream is resumed at the index
// at which it broke, without a snapshot.
func TestResumesWhereItBroke(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	c := connect(t, nil, p)
	r := follow(t, c, 0)
	for range 5 {
		_, last := propose(t, q, 0, allocate(1))
		r.reaches(last)
		p.kill()
		for range 20 {
			_, last = propose(t, q, 0, allocate(1))
		}
		p.start()
		r.reaches(last)
		if n := metric(t, p.metrics, "sluice_feed_snapshots_sent_total"); n != 0 {
			t.Fatalf("%v snapshots were sent after a restart, want none", n)
		}
	}
	if r.snapshots != 1 {
		t.Errorf("%d snapshots, want that of the start", r.snapshots)
	}
}

// A follower that is further behind than what the controller keeps gets a snapshot.
func TestASnapshotForAFollowerFarBehind(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	c := connect(t, nil, p)
	r := follow(t, c, 0)
	_, last := propose(t, q, 0, allocate(1))
	r.reaches(last)
	p.kill()
	for i := range 24 {
		_, last = propose(t, q, 0, wide(i, 256<<10))
	}
	p.start()
	r.reaches(last)
	if n := metric(t, p.metrics, "sluice_feed_snapshots_sent_total"); n != 1 {
		t.Errorf("%v snapshots sent, want 1", n)
	}
	in := follow(t, source{q}, 0)
	in.reaches(last)
	_, want := in.state()
	if _, got := r.state(); got != want {
		t.Errorf("the copy has %d bytes, the shard %d", len(got), len(want))
	}
}

// stuck is a controller that applies proposals and never replies.
type stuck struct {
	*quorum.Quorum
	applied chan struct{}
}

func (s stuck) Propose(ctx context.Context, shard int, cmd []byte) ([]byte, uint64, error) {
	if _, _, err := s.Quorum.Propose(ctx, shard, cmd); err != nil {
		return nil, 0, err
	}
	close(s.applied)
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

// A proposal that reached a controller which then died is not sent to another one: it was applied.
func TestAnUnknownOutcomeIsNotRepeated(t *testing.T) {
	q := hosted(t)
	dies := stuck{q, make(chan struct{})}
	one := serve(t, dies, nil)
	two := serve(t, q, func(o *feed.ServerOptions) { o.ID = 2 })
	c := connect(t, func(o *feed.ClientOptions) { o.Broker = 2 }, one, two) // asks the first one first
	follow(t, c, 1).reaches(0)
	eventually(t, "a connection", func() bool { _, err := c.ReadIndex(t.Context(), 0); return err == nil })
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		<-dies.applied
		one.kill()
	}()
	_, _, err := c.Propose(t.Context(), 0, allocate(10))
	if !errors.Is(err, meta.ErrUnavailable) {
		t.Fatalf("error %v, want %v", err, meta.ErrUnavailable)
	}
	<-killed
	if n := metric(t, c.metrics, "sluice_feed_unknown_outcomes_total"); n != 1 {
		t.Errorf("%v unknown outcomes counted, want 1", n)
	}
	result, _ := propose(t, c, 0, allocate(1))
	if got := first(t, result); got != 10 {
		t.Errorf("the next id is %d, want 10: those of the proposal, once", got)
	}
}

// A broker whose controller is gone carries on with another, and comes back.
func TestAnotherControllerTakesOver(t *testing.T) {
	q := hosted(t)
	one := serve(t, q, nil)
	two := serve(t, q, func(o *feed.ServerOptions) { o.ID = 2 })
	c := connect(t, nil, one, two)
	r := follow(t, c, 1)
	for _, gone := range []*port{one, two, one, two} {
		gone.kill()
		eventually(t, "a change", func() bool { // sent to a connection that is just ending, it is unknown
			_, last, err := c.Propose(t.Context(), 1, prepare())
			if err == nil {
				r.reaches(last)
			} else if !errors.Is(err, meta.ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
		gone.start()
	}
	if r.snapshots != 1 {
		t.Errorf("%d snapshots, want 1: controllers share indexes", r.snapshots)
	}
}

// partial is a controller without one of the shards.
type partial struct {
	*quorum.Quorum
	without int
}

func (p partial) Offline() map[int]error {
	return map[int]error{p.without: errors.New("its log is damaged")}
}

// A shard that one controller does not have is followed from, and changed through, another; the
// other shards stay where they are.
func TestAShardThatOneControllerDoesNotHave(t *testing.T) {
	q := hosted(t)
	one := serve(t, partial{q, 1}, nil)
	two := serve(t, partial{q, 2}, func(o *feed.ServerOptions) { o.ID = 2 })
	c := connect(t, nil, one, two)
	for shard := 1; shard <= 2; shard++ {
		r := follow(t, c, shard)
		_, last := propose(t, c, shard, prepare())
		if index, err := c.ReadIndex(t.Context(), shard); err != nil || index < last {
			t.Errorf("shard %d: read index %d, %v; want %d", shard, index, err, last)
		}
		r.reaches(last)
	}
	only := connect(t, nil, one)
	_, err := only.Follow(1, quorum.Position{}).Next(t.Context())
	if !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("a shard that nobody has: %v, want %v", err, meta.ErrUnavailable)
	}
}

// Without controllers, calls fail with meta.ErrUnavailable once their time is up.
func TestControllersAway(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	p.kill()
	c := connect(t, func(o *feed.ClientOptions) { o.Config.Timeout = 200 * time.Millisecond }, p)
	began := time.Now()
	if _, _, err := c.Propose(t.Context(), 0, allocate(1)); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("Propose: %v, want %v", err, meta.ErrUnavailable)
	}
	if _, err := c.ReadIndex(t.Context(), 0); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("ReadIndex: %v, want %v", err, meta.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := c.Cluster(ctx); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("Cluster: %v, want %v", err, meta.ErrUnavailable)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	p.start()
	eventually(t, "a change as soon as there is one", func() bool { _, _, err := c.Propose(t.Context(), 0, allocate(1)); return err == nil })
	if id, shards, err := c.Cluster(t.Context()); err != nil || id != q.ClusterID() || shards != 2 {
		t.Errorf("Cluster: %q, %d, %v", id, shards, err)
	}
}

// A command that would stop the controllers is refused before it reaches their logs.
func TestACommandThatNoStateMachineTakes(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	c := connect(t, nil, p)
	for what, cmd := range map[string]struct {
		shard int
		cmd   []byte
	}{
		"a partition shard's in shard 0":   {0, prepare()},
		"shard 0's in a partition shard":   {1, allocate(1)},
		"an empty one":                     {0, nil},
		"one that is cut off":              {0, allocate(1)[:2]},
		"one of a version that is to come": {1, append([]byte{0xff}, prepare()[1:]...)},
		"a shard that does not exist":      {3, prepare()},
	} {
		if _, _, err := c.Propose(t.Context(), cmd.shard, cmd.cmd); !errors.Is(err, feed.ErrRefused) {
			t.Errorf("%s: %v, want %v", what, err, feed.ErrRefused)
		}
	}
	if n := metric(t, p.metrics, "sluice_feed_refused_total"); n < 6 {
		t.Errorf("%v refusals counted, want 6 or more", n)
	}
	propose(t, c, 0, allocate(1))
	propose(t, c, 1, prepare())
}

// The delay of the feed grows while no controller is there, and is small again after that.
func TestTheDelayIsMeasured(t *testing.T) {
	q := hosted(t)
	short := func(c *feed.Config) { c.Lease = 600 * time.Millisecond }
	p := serve(t, q, func(o *feed.ServerOptions) { short(&o.Config) })
	c := connect(t, func(o *feed.ClientOptions) { short(&o.Config) }, p)
	_, last := propose(t, c, 0, allocate(1))
	follow(t, c, 0).reaches(last)
	delay := func() float64 { return metric(t, c.metrics, "sluice_feed_delay_seconds") }
	p.kill()
	eventually(t, "a delay of half a second", func() bool { return delay() > 0.5 })
	p.start()
	eventually(t, "a small delay", func() bool { return delay() < 0.4 })
}

// named is a quorum that says it has another id.
type named struct {
	*quorum.Quorum
	id string
}

func (n named) ClusterID() string { return n.id }

// A shard whose log was lost on all controllers and began again has other commands at the same
// indexes. A copy of the one before does not take them.
func TestAShardThatBeganAgain(t *testing.T) {
	old, again := hosted(t), hosted(t)
	propose(t, old, 1, prepare())
	p := serve(t, old, nil)
	c := connect(t, nil, p)
	copied := follow(t, c, 1)
	var last uint64
	for range 5 {
		_, last = propose(t, old, 1, prepare())
	}
	copied.reaches(last)
	_, before := copied.state()
	p.kill()
	for index := uint64(0); index < last+5; {
		_, index = propose(t, again, 1, prepare())
	}
	p.options.Controller = named{again, old.ClusterID()}
	p.start()
	<-copied.done
	if copied.failed == nil || !errors.Is(copied.failed, quorum.ErrAhead) {
		t.Errorf("the follower was told %v", copied.failed)
	}
	if index, now := copied.state(); index != last || now != before {
		t.Errorf("the copy was at index %d and is at %d", last, index)
	}
}
