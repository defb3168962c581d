package replica

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// Log is the WAL of this broker.
type Log interface {
	// ReadAt fills dst, of e.Size bytes, with the batches of e.
	ReadAt(ctx context.Context, e partition.Entry, dst []byte) error
	// Truncate makes void what a partition has from an offset on, durably.
	Truncate(ctx context.Context, p topic.Partition, offset int64) error
}

// Images finds what is still in memory. The reference returned by Get must be
// released.
type Images interface {
	Get(group partition.Position) (*blockfs.Buffer, bool)
}

// Peers sends to the replicas on other brokers.
type Peers interface {
	// Send sends a message. It never blocks, and keeps the order.
	Send(to int32, p topic.Partition, m replication.Message)
	// Wake says that Next may have something for a follower.
	Wake(to int32)
}

// Metadata changes the ISR. An error that is a refusal for good is one of package
// replication; after any other the change may still be applied.
type Metadata interface {
	AlterISR(ctx context.Context, p topic.Partition, c replication.ISRChange) error
}

// alone is a broker without peers.
type alone struct{}

func (alone) Send(int32, topic.Partition, replication.Message) {}
func (alone) Wake(int32)                                       {}

// Deps are what a Set needs from outside.
type Deps struct {
	Log      Log
	Images   Images
	Peers    Peers // nil: none
	Metadata Metadata
	// Find returns the state of a partition of which this broker is a replica.
	Find func(topic.Partition) (*partition.State, bool)
	// Producers returns what is known of a partition's producers.
	Producers func(*partition.State) *idempotence.Producers
	// Forget is Producers after records were truncated: with what the snapshots say only.
	Forget func(*partition.State) *idempotence.Producers
	// Committed reports that records [from, to) of a partition with several replicas, which this
	// broker leads, are committed.
	Committed func(s *partition.State, from, to int64)
	Logger    *slog.Logger
}

// Set has the replicas of this broker. It is safe for concurrent use.
type Set struct {
	Deps
	broker      int32
	incarnation uint64
	cfg         Config
	began       time.Time
	replicas    sync.Map // *partition.State -> *replica
	inbox       inbox

	shared atomic.Int32 // len(many)

	mu   sync.Mutex
	many map[*replica]struct{} // with replicas on other brokers
	out  map[int32]*outbox     // by follower

	life       context.Context // of truncations and proposals
	end        context.CancelFunc
	background sync.WaitGroup
}

// New returns an empty set of a broker's process. Call Use before partitions are
// opened.
func New(broker int32, incarnation uint64, cfg Config) *Set {
	s := &Set{broker: broker, incarnation: incarnation, cfg: cfg, began: time.Now(),
		many: make(map[*replica]struct{}), out: make(map[int32]*outbox), inbox: inbox{ready: make(chan struct{}, 1)}}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Use gives the set what it needs.
func (s *Set) Use(d Deps) {
	if d.Peers == nil {
		d.Peers = alone{}
	}
	s.Deps = d
}

// replica is one partition's replica. The lock of its state's Lane guards it.
type replica struct {
	set     *Set
	state   *partition.State
	r       *replication.Replica
	pending pending
	recent  []chunk // of the log, not on disk yet, where there are other replicas
	many    bool    // there are
}

// Open adds the replica of s, whose log is described. It is passive until the first
// Apply. With stale, the WAL may have records of the partition that are not in that
// log; they are made void first.
func (s *Set) Open(state *partition.State, log replication.Log, stale bool) {
	r := &replica{set: s, state: state, r: replication.New(s.broker, s.incarnation, log, s.cfg.protocol())}
	state.Lane.Lock()
	defer state.Lane.Unlock()
	s.replicas.Store(state, r)
	if stale {
		r.r.Void()
		r.act()
	}
}

// Close removes the replica of a state that is deleted, and settles its pending
// appends with err.
func (s *Set) Close(state *partition.State, err error) {
	v, ok := s.replicas.LoadAndDelete(state)
	if !ok {
		return
	}
	r := v.(*replica)
	s.track(r, false)
	state.Lane.Lock()
	state.Lane.Open = false
	r.forget(0)
	all := r.pending.clear()
	for _, a := range all {
		a.Err = err
	}
	state.Lane.Unlock()
	settle(all)
}

// Stop ends truncations and proposals, and settles all pending appends with err.
// Nothing may be appended any more.
func (s *Set) Stop(err error) {
	s.end()
	s.background.Wait()
	s.replicas.Range(func(state, _ any) bool {
		s.Close(state.(*partition.State), err)
		return true
	})
}

func (s *Set) of(state *partition.State) *replica {
	if v, ok := s.replicas.Load(state); ok {
		return v.(*replica)
	}
	return nil
}

// do lets an event happen to a replica.
func (s *Set) do(state *partition.State, event func(*replication.Replica)) {
	r := s.of(state)
	if r == nil {
		return
	}
	state.Lane.Lock()
	event(r.r)
	settled := r.act()
	state.Lane.Unlock()
	settle(settled)
}

// Apply applies the partition's record in the metadata.
func (s *Set) Apply(state *partition.State, rec replication.Record, brokers replication.Registry) {
	r := s.of(state)
	if r == nil {
		return
	}
	state.Lane.Lock()
	if many := len(rec.Replicas) > 1; many != r.many {
		r.many = many
		s.track(r, many)
	}
	r.r.Apply(rec, brokers)
	settled := r.act()
	state.Lane.Short = r.short()
	state.Lane.Unlock()
	settle(settled)
}

// track adds or removes a replica of a partition that other brokers have too.
func (s *Set) track(r *replica, many bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if many {
		s.many[r] = struct{}{}
	} else {
		delete(s.many, r)
	}
	s.shared.Store(int32(len(s.many)))
}

// Reclaimed reports that readers find records below start in objects only.
func (s *Set) Reclaimed(state *partition.State, start int64) {
	s.do(state, func(r *replication.Replica) { r.Reclaimed(min(start, r.Reclaimable())) })
}

// Durable reports that the log of a partition is on disk, and indexed, up to end.
func (s *Set) Durable(state *partition.State, end int64) {
	r := s.of(state)
	if r == nil {
		return // deleted meanwhile
	}
	state.Lane.Lock()
	r.r.Durable(end)
	settled := r.act()
	if len(r.recent) > 0 {
		r.forget(end)
	}
	state.Lane.Unlock()
	settle(settled)
}

// act carries out the effects of an event, and returns the appends that are
// settled. REQUIRES: the lane is locked.
func (r *replica) act() (settled []*flow.Append) {
	out := r.r.Effects()
	if out.Lane != nil {
		r.lane(out.Lane)
	}
	if out.Truncate != nil || out.Restart != nil {
		r.cut(out.Truncate, out.Restart)
	}
	if out.Visible != nil || r.many {
		r.visible()
	}
	if len(out.Settled) > 0 {
		settled = make([]*flow.Append, 0, len(out.Settled))
	}
	for _, o := range out.Settled {
		if a := r.pending.take(o.Token); a != nil {
			a.Err = o.Err
			settled = append(settled, a)
		}
	}
	if !r.many {
		return settled
	}
	for _, m := range out.Messages {
		r.set.Peers.Send(m.To, r.state.ID, m)
	}
	if out.Propose != nil {
		r.propose(*out.Propose)
	}
	r.wake()
	return settled
}

// lane opens or closes the lane. Offsets that were assigned and not appended are
// free again.
func (r *replica) lane(is *replication.Lane) {
	l := &r.state.Lane
	end := r.r.Log().Appended
	if l.Producers != nil && l.Next > end {
		l.Producers.Rollback(end)
	}
	l.Open, l.Epoch, l.Next = is.Open, is.Epoch, end
	l.Short = r.short()
	if from, to := r.state.TierEnd(), r.state.HighWatermark(); l.Open && r.many && from < to {
		r.set.Committed(r.state, from, to)
	}
}

// visible publishes the high watermark, as far as the records are indexed: a follower
// may know of it before it has them.
func (r *replica) visible() {
	log := r.r.Log()
	from, hw := r.state.HighWatermark(), min(r.r.HighWatermark(), log.Durable)
	r.state.Publish(hw)
	if !r.many {
		return
	}
	r.state.SetLogEnd(log.Appended)
	if r.state.Lane.Open && from < hw {
		r.set.Committed(r.state, from, hw)
	}
}

// short reports whether too few replicas are in sync for acks=all.
func (r *replica) short() bool { return r.r.Admit(replication.AcksAll) != nil }

// settle settles appends, without a lock.
func settle(all []*flow.Append) {
	for _, a := range all {
		a.Write.Settled()
	}
}
