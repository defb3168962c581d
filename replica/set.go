package replica

import (
	"sync"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
)

// Set has the replicas of this broker. It is safe for concurrent use.
type Set struct {
	broker      int32
	incarnation uint64
	cfg         replication.Config
	replicas    sync.Map // *partition.State -> *replica
}

// New returns an empty set of a broker's process.
func New(broker int32, incarnation uint64) *Set {
	return &Set{broker: broker, incarnation: incarnation,
		cfg: replication.Config{LagTime: 30 * time.Second, GoneTime: 200 * time.Millisecond, HelloTime: time.Second}}
}

// replica is one partition's replica. The lock of its state's Lane guards it.
type replica struct {
	state   *partition.State
	r       *replication.Replica
	pending pending
}

// Open adds the replica of s, whose log is described. It is passive until the first
// Apply.
func (s *Set) Open(state *partition.State, log replication.Log) {
	s.replicas.Store(state, &replica{state: state, r: replication.New(s.broker, s.incarnation, log, s.cfg)})
}

// Close removes the replica of a state that is deleted, and settles its pending
// appends with err.
func (s *Set) Close(state *partition.State, err error) {
	v, ok := s.replicas.LoadAndDelete(state)
	if !ok {
		return
	}
	r := v.(*replica)
	state.Lane.Lock()
	state.Lane.Open = false
	var settled []*flow.Append
	for _, a := range r.pending.clear() {
		a.Err = err
		settled = append(settled, a)
	}
	state.Lane.Unlock()
	settle(settled)
}

func (s *Set) of(state *partition.State) *replica {
	if v, ok := s.replicas.Load(state); ok {
		return v.(*replica)
	}
	return nil
}

// Apply applies the partition's record in the metadata.
func (s *Set) Apply(state *partition.State, rec replication.Record, brokers replication.Registry) {
	r := s.of(state)
	if r == nil {
		return
	}
	state.Lane.Lock()
	r.r.Apply(rec, brokers)
	settled := r.act()
	state.Lane.Short = r.short()
	state.Lane.Unlock()
	settle(settled)
}

// Reclaimed reports that readers find records below start in objects only.
func (s *Set) Reclaimed(state *partition.State, start int64) {
	r := s.of(state)
	if r == nil {
		return
	}
	state.Lane.Lock()
	defer state.Lane.Unlock()
	r.r.Reclaimed(min(start, r.r.Reclaimable()))
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
	if out.Visible != nil {
		r.state.Publish(*out.Visible)
	}
	if len(out.Settled) == 0 {
		return nil
	}
	settled = make([]*flow.Append, 0, len(out.Settled))
	for _, o := range out.Settled {
		if a := r.pending.take(o.Token); a != nil {
			a.Err = o.Err
			settled = append(settled, a)
		}
	}
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
}

// short reports whether too few replicas are in sync for acks=all.
func (r *replica) short() bool { return r.r.Admit(replication.AcksAll) != nil }

// settle settles appends, without a lock.
func settle(all []*flow.Append) {
	for _, a := range all {
		a.Write.Settled()
	}
}
