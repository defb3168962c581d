package replication

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// Errors of an append.
var (
	// ErrNotLeader: another broker leads, or none. A pending append may still be committed by
	// the next leader.
	ErrNotLeader = fault.Transient(kerr.NotLeaderForPartition, "this broker does not lead the partition")
	// ErrNotEnoughReplicas: the ISR is smaller than min.insync.replicas; nothing was appended.
	ErrNotEnoughReplicas = fault.Transient(kerr.NotEnoughReplicas, "fewer replicas are in sync than min.insync.replicas")
	// ErrNotEnoughReplicasAfterAppend: the ISR became smaller than min.insync.replicas after the
	// records were appended. They may still be committed.
	ErrNotEnoughReplicasAfterAppend = fault.Transient(kerr.NotEnoughReplicasAfterAppend,
		"fewer replicas are in sync than min.insync.replicas; the records were appended")
)

// Config has the timeouts of replication.
type Config struct {
	// LagTime is how long a follower may be behind before it leaves the ISR
	// (replica.lag.time.max.ms).
	LagTime time.Duration
	// GoneTime is how long a follower may be disconnected before it leaves the ISR.
	GoneTime time.Duration
	// HelloTime is how long a follower waits for an answer before it repeats its Hello.
	HelloTime time.Duration
}

// Replica is the state machine of one replica. Its methods are the events; after each of them
// the driver carries out Effects. It is not safe for concurrent use: the partition's lane
// owns it, so that leadership changes between two appends, never during one.
type Replica struct {
	cfg         Config
	self        int32
	incarnation uint64
	log         Log
	hw          int64
	now         time.Duration
	rec         Record
	registry    Registry
	known       bool // rec is set
	cutting     bool // a truncation or restart is under way
	lead        *leading
	follow      *following
	early       map[int32]Position // the last Hello of each broker that arrived before its epoch began here
	out         Effects
	off         rules
}

// New returns the replica of broker self, with its recovered log. It is passive until the first
// Apply.
func New(self int32, incarnation uint64, log Log, cfg Config) *Replica {
	return &Replica{cfg: cfg, self: self, incarnation: incarnation, log: log, hw: log.Start,
		early: make(map[int32]Position)}
}

// Effects returns the effects of all events since the previous call.
func (r *Replica) Effects() Effects {
	out := r.out
	r.out = Effects{}
	return out
}

// Replicas returns the brokers that the partition is assigned to. The caller must not change it.
func (r *Replica) Replicas() []int32 { return r.rec.Replicas }

// Log describes the local log.
func (r *Replica) Log() Log { return r.log }

// HighWatermark returns the end of the records known to be committed. A new leader's may be too
// low until it is Known.
func (r *Replica) HighWatermark() int64 { return r.hw }

// Known reports whether this replica leads and its high watermark is at least that of every
// earlier leader. Until then it must not answer ListOffsets.
func (r *Replica) Known() bool { return r.lead != nil && r.lead.open && r.hw >= r.lead.start }

// Leads reports whether this replica leads, and in which epoch.
func (r *Replica) Leads() (epoch int32, ok bool) { return r.rec.Epoch, r.lead != nil }

// Apply applies a new version of the partition's record. Versions older than the last one are
// ignored. The replica neither leads nor follows until the metadata knows this incarnation of
// the broker.
func (r *Replica) Apply(rec Record, registry Registry) {
	if r.known && (rec.Version < r.rec.Version || rec.Epoch < r.rec.Epoch) {
		return
	}
	before := r.rec
	if r.known {
		rec.TierEnd = max(rec.TierEnd, before.TierEnd)
	}
	r.rec, r.registry, r.known = rec, registry, true
	inc, live := registry.Live(r.self)
	member := live && inc == r.incarnation
	switch {
	case member && rec.Leader == r.self:
		r.follow = nil
		r.applyAsLeader(before)
	case member && rec.Leader != NoLeader && r.isReplica():
		r.stepDown()
		r.applyAsFollower(before)
	default:
		r.stepDown()
		r.follow = nil
	}
}

func (r *Replica) isReplica() bool {
	for _, b := range r.rec.Replicas {
		if b == r.self {
			return true
		}
	}
	return false
}

// Durable reports that the local log is on disk up to end.
func (r *Replica) Durable(end int64) {
	if r.cutting || end <= r.log.Durable {
		return
	}
	r.log.Durable = min(end, r.log.Appended)
	r.settled()
	switch {
	case r.lead != nil:
		r.leaderDurable()
	case r.follow != nil:
		r.followerDurable()
	}
}

// Truncated reports that the requested truncation or restart is durable.
func (r *Replica) Truncated() {
	if !r.cutting {
		return
	}
	r.cutting = false
	r.log.Durable = r.log.Appended
	r.settled()
	if r.follow != nil {
		r.hello()
	}
}

// settled starts the epoch of a new leader once no write of an earlier epoch is in flight.
func (r *Replica) settled() {
	if r.lead != nil && !r.lead.open && !r.cutting && r.log.Durable == r.log.Appended {
		r.openLane()
	}
}

// Tick advances the clock, which counts from an arbitrary moment.
func (r *Replica) Tick(now time.Duration) {
	r.now = now
	switch {
	case r.lead != nil:
		r.propose()
	case r.follow != nil && r.follow.greeted && now-r.follow.greetedAt >= r.cfg.HelloTime:
		r.hello()
	}
}

// Reclaimable returns the offset below which the local log is no longer needed: records that are
// committed, and in objects according to the metadata applied here.
func (r *Replica) Reclaimable() int64 {
	end := r.log.Durable
	if r.off.on(ruleReclaimTiered) {
		end = min(end, r.rec.TierEnd)
	}
	if r.off.on(ruleReclaimCommitted) {
		end = min(end, r.hw)
	}
	return end
}

// Reclaimed reports that the local log begins at start, which was Reclaimable.
func (r *Replica) Reclaimed(start int64) { r.log.reclaim(start) }

// raise moves the high watermark up.
func (r *Replica) raise(to int64) {
	if to > r.hw {
		r.hw = to
		r.out.Visible = &r.hw
	}
}

func (r *Replica) send(m Message) { r.out.Messages = append(r.out.Messages, m) }
