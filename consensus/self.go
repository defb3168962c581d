package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// self is the broker process that this Cluster belongs to.
//
// A shard that cannot be reached when the process starts has the process before: its leader, in an
// epoch whose last records this process may have lost. So for this process such a shard stays offline
// until its WAL is replayed and the shard has fenced the process before. What the WAL has of the
// shard's partitions was not replayed, so these replicas have lost records, too: they leave ISR and ELR.
type self struct {
	broker      int32
	incarnation uint64
	ready       chan struct{} // closed once the WAL is replayed
	isReady     bool
	missing     func(topic.Partition, *meta.Partition) Missing // nil: nothing
}

// startSelf notes that a broker process has started. Shards that are open then are told by the caller,
// others by openLate.
func (c *Cluster) startSelf(broker int32, incarnation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.self == nil || c.self.broker != broker || c.self.incarnation != incarnation {
		c.self = &self{broker: broker, incarnation: incarnation, ready: make(chan struct{})}
	}
}

func (c *Cluster) readySelf(broker int32, incarnation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.self; s != nil && s.broker == broker && s.incarnation == incarnation && !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

// Missing says which records of a partition a broker process lacks that its replica may have had.
type Missing struct {
	Records bool // some
	InWAL   bool // they are in the WAL, and were not replayed
}

// Recovered says how to learn what this process lacks of the partitions of a shard that comes after
// the WAL was replayed. It is called between StartBroker and ReadyBroker.
func (c *Cluster) Recovered(missing func(topic.Partition, *meta.Partition) Missing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.self != nil {
		c.self.missing = missing
	}
}

// openIfNobody opens a shard unless a broker has started, which is returned.
func (c *Cluster) openIfNobody(s *shardCopy) *self {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.self == nil {
		s.open()
	}
	return c.self
}

// openLate opens a shard that could not be reached at first, once it can.
func (c *Cluster) openLate(ctx context.Context, s *shardCopy) {
	if c.fillLate(ctx, s) != nil {
		return
	}
	if me := c.openIfNobody(s); me != nil && !c.enter(ctx, s, me) {
		return
	}
	c.out.started()
	c.publish()
	c.log.Info("a metadata shard is here now", "shard", s.shard)
}

// enterRetry is the pause between attempts to enter a shard.
const enterRetry = 200 * time.Millisecond

// enter makes this process known in a shard, and opens it. It returns false if the process is closed
// or a later one has started.
func (c *Cluster) enter(ctx context.Context, s *shardCopy, me *self) bool {
	select {
	case <-me.ready:
	case <-ctx.Done():
		return false
	}
	for logged := ""; ; {
		err := c.startIn(ctx, s, me)
		if err == nil {
			s.open()
			c.readyIn(ctx, s, me)
			return true
		}
		if errors.Is(err, meta.ErrStaleIncarnation) || ctx.Err() != nil {
			return false
		}
		if text := err.Error(); text != logged {
			logged = text
			c.log.Error("the partitions of a metadata shard are offline on this broker", "shard", s.shard, "err", err)
		}
		select {
		case <-time.After(enterRetry):
		case <-ctx.Done():
			return false
		}
	}
}

// errOnlyHere means that a shard cannot be entered: this broker would have to lead a partition without
// its records.
var errOnlyHere = errors.New("the WAL has records that were not replayed, of a partition that no other broker leads; restart the broker to replay them, or the others that have its replicas")

// startIn has a shard fence the process before this one, and drop the replicas that were not replayed.
func (c *Cluster) startIn(ctx context.Context, s *shardCopy, me *self) error {
	if err := c.proposeTo(ctx, s.shard, &machine.StartBroker{Broker: me.broker, Incarnation: me.incarnation}); err != nil {
		return err
	}
	c.mu.Lock()
	missing := me.missing
	c.mu.Unlock()
	if missing == nil {
		return nil
	}
	lose := &machine.LoseReplicas{Broker: me.broker, Incarnation: me.incarnation, Session: c.copies[0].broker(me.broker).Session}
	for _, p := range s.partitions() {
		if !slices.Contains(p.Now.Replicas, me.broker) {
			continue
		}
		lacks := missing(p.ID, p.Now)
		if lacks.InWAL && p.Now.Leader == replication.NoLeader {
			return fmt.Errorf("partition %v: %w", p.ID, errOnlyHere)
		}
		if lacks.Records {
			lose.Partitions = append(lose.Partitions, p.ID)
		}
	}
	if len(lose.Partitions) == 0 {
		return nil
	}
	return c.proposeTo(ctx, s.shard, lose)
}

// readyIn makes this process live in a shard that it has entered, if it has the session that shard 0
// knows; otherwise StayReady does, or the ReadyBroker under way.
func (c *Cluster) readyIn(ctx context.Context, s *shardCopy, me *self) {
	c.publish()
	session := c.copies[0].broker(me.broker).Session
	err := c.proposeTo(ctx, s.shard, &machine.ReadyBroker{Broker: me.broker, Incarnation: me.incarnation, Session: session})
	if lease := c.View().Coordinators[s.shard-1]; err == nil && lease.Broker == meta.NoBroker {
		_, err = c.AcquireCoordinator(ctx, s.shard-1, me.broker, me.incarnation, lease.Epoch)
	}
	if err != nil && !errors.Is(err, meta.ErrStaleSession) && !errors.Is(err, meta.ErrConflict) && ctx.Err() == nil {
		c.log.Warn("this broker is not ready in a metadata shard yet", "shard", s.shard, "err", err)
	}
}

// proposeTo proposes a command to a shard that may not be open yet.
func (c *Cluster) proposeTo(ctx context.Context, shard int, cmd machine.Command) error {
	r, err := c.proposed(ctx, shard, machine.Encode(cmd))
	if err != nil {
		return err
	}
	return r.Code.Err()
}

// stayCheck is how often StayReady looks where nothing has changed.
const stayCheck = time.Second

// StayReady makes a broker ready again wherever its session has ended although its process goes on,
// and where ReadyBroker got no answer. reached says whether controllers hear from the process; while
// they do not they would only end the session again. It returns when ctx is done, or with
// meta.ErrStaleIncarnation once a later process has started.
func (c *Cluster) StayReady(ctx context.Context, broker int32, incarnation uint64, reached func() bool) error {
	x := &staying{c: c, broker: broker, incarnation: incarnation, busy: make([]bool, len(c.copies)), done: make(chan int, len(c.copies))}
	defer x.wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	timer := time.NewTicker(stayCheck)
	defer timer.Stop()
	for {
		changed := c.Changed()
		fenced, err := x.fenced(c.View())
		if err != nil {
			return err
		}
		if len(fenced) > 0 && reached() {
			x.ready(ctx, fenced)
		}
		select {
		case <-changed:
		case shard := <-x.done:
			x.busy[shard] = false
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// staying is the state of StayReady.
type staying struct {
	c           *Cluster
	broker      int32
	incarnation uint64
	busy        []bool   // by shard: it is being asked
	done        chan int // shards that have answered
}

// unready is a shard in which the broker is to be made ready, and its session.
type unready struct {
	shard   int
	session uint64
}

// fenced returns where the broker is not live in its present session.
func (x *staying) fenced(view *meta.View) (all []unready, err error) {
	i := slices.IndexFunc(view.Brokers, func(b meta.Broker) bool { return b.ID == x.broker })
	if i < 0 || view.Brokers[i].Incarnation != x.incarnation {
		return nil, brokerError(x.broker, meta.ErrStaleIncarnation)
	}
	b := view.Brokers[i]
	if b.Fenced && !x.busy[0] {
		all = append(all, unready{0, b.Session})
	}
	for i, sessions := range view.Sessions {
		switch s := sessions[x.broker]; {
		case s.Incarnation > x.incarnation:
			return nil, brokerError(x.broker, meta.ErrStaleIncarnation)
		case s.Incarnation < x.incarnation || x.busy[i+1] || s.Live && s.Number == b.Session || s.Number > b.Session:
		default:
			all = append(all, unready{i + 1, b.Session})
		}
	}
	return all, nil
}

// ready asks shards to make the broker live.
func (x *staying) ready(ctx context.Context, shards []unready) {
	for _, u := range shards {
		x.busy[u.shard] = true
		if u.shard == 0 {
			x.c.log.Warn("this broker was fenced; it makes itself ready again", "incarnation", x.incarnation, "session", u.session)
		}
		go func() { // wait waits for it
			_, err := x.c.propose(ctx, u.shard, &machine.ReadyBroker{Broker: x.broker, Incarnation: x.incarnation, Session: u.session})
			x.c.publish()
			if err != nil {
				select {
				case <-time.After(enterRetry):
				case <-ctx.Done():
				}
			}
			x.done <- u.shard
		}()
	}
}

// wait returns once nothing is asked any more.
func (x *staying) wait() {
	for slices.Contains(x.busy, true) {
		x.busy[<-x.done] = false
	}
}
