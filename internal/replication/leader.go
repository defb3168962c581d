package replication

import (
	"math"
	"slices"
	"time"
)

// leading is the state of a leader.
type leading struct {
	open      bool
	start     int64 // log end at which the epoch began; of an open lane
	followers map[int32]*progress
	// proposed is the ISR change whose outcome is still unknown. Its members count for the
	// high watermark until a later version of the record is applied.
	proposed *ISRChange
	waiting  waiters
}

// progress is a follower's progress, as reported in the leader's own epoch.
type progress struct {
	heard       bool // its Hello was accepted in this epoch
	connected   bool
	incarnation uint64
	end         int64         // acknowledged
	next        int64         // to be sent
	told        int64         // the high watermark sent last
	caughtUp    time.Duration // when it last had all that there was
	gone        time.Duration // since when it is not connected
	mark        int64         // the log end at markAt, which caughtUp becomes once acknowledged
	markAt      time.Duration
}

// waiters are the pending appends, each kind ascending by end.
type waiters struct {
	leader, all []waiting // of AcksLeader and AcksAll
}

// waiting is a pending append.
type waiting struct {
	end   int64
	token uint64
}

func (w *waiters) add(end int64, acks Acks, token uint64) {
	q := &w.all
	if acks == AcksLeader {
		q = &w.leader
	}
	at := len(*q)
	for at > 0 && (*q)[at-1].end > end {
		at--
	}
	*q = slices.Insert(*q, at, waiting{end, token})
}

// settle removes those of q that end at or below end, and settles them with err.
func (r *Replica) settle(q *[]waiting, end int64, err error) {
	n := 0
	for n < len(*q) && (*q)[n].end <= end {
		n++
	}
	if n == 0 {
		return
	}
	if r.out.Settled == nil {
		r.out.Settled = make([]Settlement, 0, n)
	}
	for _, w := range (*q)[:n] {
		r.out.Settled = append(r.out.Settled, Settlement{w.token, err})
	}
	if rest := (*q)[n:]; len(rest) <= n {
		*q = append((*q)[:0], rest...) // at no more cost than that of settling
	} else {
		*q = rest
	}
}

func (r *Replica) applyAsLeader(before Record) {
	if r.lead == nil || before.Epoch != r.rec.Epoch {
		var kept waiters
		if r.lead != nil {
			kept = r.lead.waiting // still in the log: a leader never truncates
		}
		r.closeLane()
		r.lead = &leading{followers: make(map[int32]*progress), waiting: kept}
		r.syncFollowers()
		r.settled()
	}
	r.syncFollowers()
	if p := r.lead.proposed; p != nil && r.rec.Version > p.Version {
		r.lead.proposed = nil
	}
	if len(r.rec.ISR) < r.rec.MinISR && r.off.on(ruleMinISR) {
		r.settle(&r.lead.waiting.all, math.MaxInt64, ErrNotEnoughReplicasAfterAppend)
	}
	r.raise(min(r.rec.TierEnd, r.log.Durable)) // a leader has every committed record
	r.commit()
	r.propose()
}

// syncFollowers makes the followers those of the record.
func (r *Replica) syncFollowers() {
	for b := range r.lead.followers {
		if !slices.Contains(r.rec.Replicas, b) {
			delete(r.lead.followers, b)
		}
	}
	for _, b := range r.rec.Replicas {
		if b != r.self && r.lead.followers[b] == nil {
			r.lead.followers[b] = &progress{caughtUp: r.now, gone: r.now, markAt: r.now}
		}
	}
}

func (r *Replica) openLane() {
	r.lead.open, r.lead.start = true, r.log.Appended
	r.out.Lane = &Lane{Open: true, Epoch: r.rec.Epoch, Next: r.log.Appended}
	for _, b := range r.rec.Replicas {
		if p, ok := r.early[b]; ok {
			r.HearPosition(p)
		}
	}
	clear(r.early)
	r.commit()
}

func (r *Replica) closeLane() {
	if r.lead != nil && r.lead.open {
		r.lead.open = false
		r.out.Lane = &Lane{}
	}
}

func (r *Replica) stepDown() {
	if r.lead == nil {
		return
	}
	r.closeLane()
	r.settle(&r.lead.waiting.leader, math.MaxInt64, ErrNotLeader)
	r.settle(&r.lead.waiting.all, math.MaxInt64, ErrNotLeader)
	r.lead = nil
}

// Admit reports whether records may be appended now: nil, ErrNotLeader or ErrNotEnoughReplicas.
func (r *Replica) Admit(acks Acks) error {
	switch {
	case r.lead == nil || !r.lead.open:
		return ErrNotLeader
	case acks == AcksAll && len(r.rec.ISR) < r.rec.MinISR && r.off.on(ruleMinISR):
		return ErrNotEnoughReplicas
	}
	return nil
}

// Append reports records up to end that were appended to the open lane and are being written.
// Unless acks is AcksNone, the token is settled later. REQUIRES: the lane is open.
func (r *Replica) Append(end int64, acks Acks, token uint64) {
	r.log.Extend(r.rec.Epoch, end)
	r.Await(end, acks, token)
}

// Await settles the token of a retry once records up to end, which were appended before, are as
// durable as acks asks for. REQUIRES: the lane is open.
func (r *Replica) Await(end int64, acks Acks, token uint64) {
	switch {
	case acks == AcksNone:
	case end <= r.hw, acks == AcksLeader && end <= r.log.Durable:
		r.out.Settled = append(r.out.Settled, Settlement{Token: token})
	case r.Admit(acks) != nil: // since the append was admitted
		r.out.Settled = append(r.out.Settled, Settlement{token, ErrNotEnoughReplicasAfterAppend})
	default:
		r.lead.waiting.add(end, acks, token)
	}
}

func (r *Replica) leaderDurable() {
	r.commit()
	r.acknowledge()
}

// maximalISR returns the recorded ISR and the proposed members.
func (r *Replica) maximalISR() []int32 {
	isr := r.rec.ISR
	if p := r.lead.proposed; p != nil && r.off.on(ruleMaximalISR) {
		var members []int32
		for _, m := range p.ISR {
			members = append(members, m.Broker)
		}
		isr = union(isr, members)
	}
	return isr
}

// commit advances the high watermark to the least log end of the maximal ISR.
func (r *Replica) commit() {
	if !r.lead.open || len(r.rec.ISR) < r.rec.MinISR && r.off.on(ruleMinISR) {
		return
	}
	end := r.log.Durable
	for _, b := range r.maximalISR() {
		if b == r.self {
			continue
		}
		f := r.lead.followers[b]
		if f == nil || !f.heard {
			return
		}
		end = min(end, f.end)
	}
	r.raise(end)
	r.acknowledge()
}

// acknowledge settles the appends that are durable enough.
func (r *Replica) acknowledge() {
	r.settle(&r.lead.waiting.leader, max(r.hw, r.log.Durable), nil)
	r.settle(&r.lead.waiting.all, r.hw, nil)
}

// HearPosition handles a follower's acknowledgement or Hello.
func (r *Replica) HearPosition(p Position) {
	if r.lead == nil || !r.lead.open || p.Epoch > r.rec.Epoch {
		if p.Hello && p.Epoch >= r.rec.Epoch {
			r.early[p.Broker] = p
		}
		return
	}
	if p.Epoch != r.rec.Epoch && r.off.on(ruleFetchEpoch) {
		return
	}
	f := r.lead.followers[p.Broker]
	if f == nil || !p.Hello && (!f.heard || f.incarnation != p.Incarnation) {
		return
	}
	if p.Hello && !r.continues(p) {
		return
	}
	if p.Hello {
		f.heard, f.connected, f.incarnation, f.next, f.told = true, true, p.Incarnation, p.End, -1
	}
	f.end = p.End
	if f.end >= f.mark {
		f.caughtUp, f.mark, f.markAt = f.markAt, r.log.Appended, r.now
	}
	if f.end >= r.log.Appended {
		f.caughtUp = r.now
	}
	r.commit()
	r.propose()
}

// continues reports whether the follower's log is a prefix of the leader's. If not, it tells the
// follower to truncate or restart its log.
func (r *Replica) continues(p Position) bool {
	if p.End < r.sendStart() {
		r.send(r.restartFor(p.Broker))
		return false
	}
	epoch, end := r.log.epochEnd(p.LastEpoch)
	if !r.off.on(ruleTruncateByEpoch) {
		epoch, end = p.LastEpoch, r.log.Appended
	}
	if p.End > 0 && (epoch != p.LastEpoch || end < p.End) {
		r.send(Message{To: p.Broker, Divergence: &Divergence{Epoch: r.rec.Epoch, LastEpoch: epoch, End: end}})
		return false
	}
	return true
}

// sendStart returns the offset below which nothing is sent to followers, since it is in objects.
func (r *Replica) sendStart() int64 { return max(r.log.Start, min(r.rec.TierEnd, r.log.Durable)) }

func (r *Replica) restartFor(broker int32) Message {
	start := r.sendStart()
	return Message{To: broker, Restart: &Restart{Epoch: r.rec.Epoch, Start: start, PrevEpoch: r.log.epochAt(start - 1)}}
}

// Disconnected reports that the connection to a broker broke. Messages sent on it may be lost.
func (r *Replica) Disconnected(broker int32) {
	delete(r.early, broker)
	if r.lead == nil {
		return
	}
	if f := r.lead.followers[broker]; f != nil && f.connected {
		f.connected, f.gone = false, r.now
	}
}

// Unsent returns the offsets [from, end) that are to be sent to a follower next, or false if
// there is nothing to send. The range is empty if only the high watermark is.
func (r *Replica) Unsent(broker int32) (from, end int64, ok bool) {
	if r.lead == nil || !r.lead.open {
		return 0, 0, false
	}
	f := r.lead.followers[broker]
	if f == nil || !f.connected || f.next >= r.log.Appended && f.told >= r.hw {
		return 0, 0, false
	}
	return f.next, max(f.next, r.log.Appended), true
}

// Send returns the header of the records to send to a follower next, at most limit records, or
// false if there is nothing to send. The driver sends it with the records, after the messages of
// Effects, or drops the connection.
func (r *Replica) Send(broker int32, limit int64) (Records, bool) {
	if _, _, ok := r.Unsent(broker); !ok {
		return Records{}, false
	}
	f := r.lead.followers[broker]
	if f.next < r.log.Start { // reclaimed before it was sent
		r.send(r.restartFor(broker))
		f.next = r.sendStart()
	}
	h := Records{Epoch: r.rec.Epoch, Base: f.next, End: min(r.log.Appended, f.next+limit), HighWatermark: r.hw,
		PrevEpoch: r.log.epochAt(f.next - 1)}
	f.next, f.told = h.End, r.hw
	return h, true
}

// ISRRefused reports that the metadata has refused the proposal based on this version.
// REQUIRES: no copy of the proposal can still be applied. A timeout is not a refusal: the
// proposal may be applied later, so its members count until a later version is applied.
func (r *Replica) ISRRefused(version int32) {
	if r.lead != nil && r.lead.proposed != nil && r.lead.proposed.Version == version {
		r.lead.proposed = nil
		r.commit()
	}
}

// Proposed reports whether the change of the ISR based on this version is still wanted.
func (r *Replica) Proposed(version int32) bool {
	return r.lead != nil && r.lead.proposed != nil && r.lead.proposed.Version == version
}

// propose proposes a new ISR if followers have caught up or fallen behind.
func (r *Replica) propose() {
	if !r.lead.open || r.lead.proposed != nil {
		return
	}
	members := []Member{{r.self, r.incarnation}}
	changed := false
	for _, b := range r.rec.Replicas {
		f := r.lead.followers[b]
		if f == nil {
			continue
		}
		in := slices.Contains(r.rec.ISR, b)
		stays := r.stays(f)
		if !in {
			stays = r.joins(b, f)
		}
		if stays {
			members = append(members, Member{b, f.incarnation})
		}
		changed = changed || stays != in
	}
	if !changed {
		return
	}
	c := &ISRChange{Leader: r.self, Epoch: r.rec.Epoch, Version: r.rec.Version, ISR: members}
	r.lead.proposed, r.out.Propose = c, c
}

// stays reports whether a member of the ISR may remain in it.
func (r *Replica) stays(f *progress) bool {
	if !f.connected && r.now-f.gone >= r.cfg.GoneTime {
		return false
	}
	return f.end >= r.log.Appended && f.heard || r.now-f.caughtUp < r.cfg.LagTime
}

// joins reports whether a follower has caught up: it has all committed records, and all records
// that existed when this epoch began.
func (r *Replica) joins(b int32, f *progress) bool {
	inc, live := r.registry.Live(b)
	return f.heard && f.connected && f.end >= r.hw && (f.end >= r.lead.start || !r.off.on(ruleEpochStart)) &&
		(live && inc == f.incarnation || !r.off.on(ruleIncarnation))
}

// Uploadable returns the range of committed records that are not in objects yet. ok is false on
// followers.
func (r *Replica) Uploadable() (base, end int64, ok bool) {
	if !r.Known() {
		return 0, 0, false
	}
	base, end = r.rec.TierEnd, r.hw
	if !r.off.on(ruleUploadCommitted) {
		end = r.log.Durable
	}
	return base, end, base < end && base >= r.log.Start
}
