package replication

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

// following is the state of a follower.
type following struct {
	// greet: a Hello is due as soon as no write is in flight.
	greet bool
	// greeted: a Hello was sent, and no records that continue the log have arrived since.
	greeted   bool
	greetedAt time.Duration
	// ahead is a Restart beyond the tier end that is known here.
	ahead *Restart
}

func (r *Replica) applyAsFollower(before Record) {
	if r.follow == nil || before.Epoch != r.rec.Epoch || before.Leader != r.rec.Leader {
		r.follow = &following{}
		if !r.off.on(ruleTruncateByEpoch) {
			r.cut(r.hw)
		}
		r.hello()
		return
	}
	if a := r.follow.ahead; a != nil {
		r.HearRestart(*a)
	}
}

// hello sends the log end to the leader, now or once no write is in flight.
func (r *Replica) hello() {
	r.follow.greet = true
	if r.cutting || r.log.Durable != r.log.Appended {
		return
	}
	r.follow.greet, r.follow.greeted, r.follow.greetedAt = false, true, r.now
	r.position(true)
}

func (r *Replica) position(hello bool) {
	end := r.log.Durable
	last := NoEpoch
	if end > 0 {
		last = r.log.epochAt(end - 1)
	}
	r.send(Message{To: r.rec.Leader, Position: &Position{Broker: r.self, Incarnation: r.incarnation,
		Epoch: r.rec.Epoch, End: end, LastEpoch: last, Hello: hello}})
}

// Connected reports a new connection to a broker.
func (r *Replica) Connected(broker int32) {
	if r.follow != nil && broker == r.rec.Leader {
		r.hello()
	}
}

func (r *Replica) followerDurable() {
	if r.follow.greet {
		r.hello()
		return
	}
	r.position(false)
}

// HearRecords handles records from the leader. It reports whether the driver must write them,
// which it must if they continue the log. epochs lists where each epoch among them begins.
func (r *Replica) HearRecords(h Records, epochs []meta.EpochStart) bool {
	if r.follow == nil || r.cutting || r.follow.greet || h.Epoch != r.rec.Epoch && r.off.on(ruleFetchEpoch) {
		return false
	}
	if h.Base != r.log.Appended || h.PrevEpoch != r.log.lastEpoch() {
		if !r.follow.greeted {
			r.hello()
		}
		return false
	}
	r.follow.greeted = false
	for i, e := range epochs {
		end := h.End
		if i+1 < len(epochs) {
			end = epochs[i+1].Start
		}
		r.log.Extend(e.Epoch, end)
	}
	r.raise(min(h.HighWatermark, r.log.Appended))
	return h.End > h.Base
}

// HearDivergence truncates the log towards the point where it agrees with the leader's.
func (r *Replica) HearDivergence(d Divergence) {
	if !r.answers(d.Epoch) {
		return
	}
	to := d.End
	if r.off.on(ruleTruncateByEpoch) {
		_, own := r.log.epochEnd(d.LastEpoch)
		to = min(to, own)
	}
	r.cut(to)
	r.hello()
}

// HearRestart restarts the log above the records that are in objects, once the metadata applied
// here confirms that they are.
func (r *Replica) HearRestart(m Restart) {
	if r.follow == nil || r.cutting || m.Epoch != r.rec.Epoch || m.Start <= r.log.Appended {
		return
	}
	if m.Start > r.rec.TierEnd {
		r.follow.ahead = &m
		return
	}
	r.follow.ahead = nil
	r.log.restart(m.Start, m.PrevEpoch)
	r.hw = max(r.hw, m.Start)
	r.cutting, r.out.Restart, r.out.Truncate = true, &m.Start, nil
	r.hello()
}

// Void empties the log, as a Restart at its start does: records on disk that are not part of it,
// of an earlier time as a replica, become void. The driver makes that durable and then calls
// Truncated; until then the replica takes no part.
func (r *Replica) Void() {
	start := r.log.Start
	r.log.restart(start, r.log.PrevEpoch)
	r.cutting, r.out.Restart, r.out.Truncate = true, &start, nil
}

// answers reports whether an answer to a Hello is of this epoch and still expected.
func (r *Replica) answers(epoch int32) bool {
	return r.follow != nil && r.follow.greeted && !r.cutting && epoch == r.rec.Epoch
}

// cut truncates the log to to, but not below its start.
func (r *Replica) cut(to int64) {
	to = max(to, r.log.Start)
	if to >= r.log.Appended {
		return
	}
	r.log.truncate(to)
	r.hw = min(r.hw, to)
	r.cutting, r.out.Truncate = true, &to
}
