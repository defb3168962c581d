package replication

import (
	"errors"
	"testing"
	"time"
)

// leaderOf returns broker 1 as the leader of a partition with replicas 1 to 3, the given ISR, and
// records [0, 10). Brokers 2 and 3 have said Hello.
func leaderOf(t *testing.T, isr ...int32) *Replica {
	t.Helper()
	rec := three()
	rec.ISR = isr
	l := Log{PrevEpoch: NoEpoch}
	l.Extend(4, 10)
	l.Durable = 10
	r := New(1, 7, l, Config{LagTime: time.Second, GoneTime: 100 * time.Millisecond, HelloTime: time.Second})
	r.Apply(rec, live{1: 7, 2: 1, 3: 1})
	for _, b := range []int32{2, 3} {
		r.HearPosition(Position{Broker: b, Incarnation: 1, Epoch: 5, End: 10, LastEpoch: 4, Hello: true})
	}
	if e := r.Effects(); e.Lane == nil || *e.Lane != (Lane{Open: true, Epoch: 5, Next: 10}) {
		t.Fatalf("the lane: %+v", e.Lane)
	}
	return r
}

func (r *Replica) ack(broker int32, end int64) {
	r.HearPosition(Position{Broker: broker, Incarnation: 1, Epoch: 5, End: end, LastEpoch: 5})
}

func settled(t *testing.T, r *Replica, want ...Settlement) {
	t.Helper()
	got := r.Effects().Settled
	if len(got) != len(want) {
		t.Fatalf("settled %+v, want %+v", got, want)
	}
	for i := range got {
		if got[i].Token != want[i].Token || !errors.Is(got[i].Err, want[i].Err) {
			t.Fatalf("settled %+v, want %+v", got, want)
		}
	}
}

func TestEachAckWaitsForItsOwn(t *testing.T) {
	r := leaderOf(t, 1, 2, 3)
	r.Append(11, AcksLeader, 100)
	r.Append(12, AcksAll, 101)
	r.Append(13, AcksNone, 102)
	settled(t, r)
	r.ack(2, 13) // before it is durable on the leader
	r.ack(3, 13)
	settled(t, r)
	r.Durable(11)
	settled(t, r, Settlement{Token: 100})
	r.Durable(13)
	settled(t, r, Settlement{Token: 101})
	if r.HighWatermark() != 13 {
		t.Errorf("high watermark %d", r.HighWatermark())
	}
}

func TestTheSlowestOfTheISRDecides(t *testing.T) {
	r := leaderOf(t, 1, 2, 3)
	r.Append(20, AcksAll, 1)
	r.Durable(20)
	r.ack(2, 20)
	r.ack(3, 15)
	settled(t, r)
	if r.HighWatermark() != 15 {
		t.Errorf("high watermark %d", r.HighWatermark())
	}
	r.ack(3, 20)
	settled(t, r, Settlement{Token: 1})
}

// TestAProposedMemberCounts: until the outcome of a proposal is known, its larger ISR must acknowledge.
func TestAProposedMemberCounts(t *testing.T) {
	r := leaderOf(t, 1, 2)
	r.Append(20, AcksAll, 1)
	r.Durable(20)
	r.ack(2, 20)
	settled(t, r) // 3 had caught up and was proposed, so it counts
	r.ISRRefused(9)
	settled(t, r, Settlement{Token: 1})
}

func TestAnISRThatIsTooSmall(t *testing.T) {
	r := leaderOf(t, 1, 2, 3)
	r.Append(20, AcksAll, 1)
	r.Append(21, AcksLeader, 2)
	rec := three()
	rec.Version, rec.ISR, rec.ELR = 10, []int32{1}, []int32{2, 3}
	r.Apply(rec, live{1: 7})
	settled(t, r, Settlement{1, ErrNotEnoughReplicasAfterAppend})
	if err := r.Admit(AcksAll); !errors.Is(err, ErrNotEnoughReplicas) {
		t.Errorf("acks=all: %v", err)
	}
	if err := r.Admit(AcksLeader); err != nil {
		t.Errorf("acks=1: %v", err)
	}
	r.Durable(21)
	settled(t, r, Settlement{Token: 2})
	if r.HighWatermark() != 10 {
		t.Errorf("high watermark %d", r.HighWatermark())
	}
}

func TestALeaderThatIsReplaced(t *testing.T) {
	r := leaderOf(t, 1, 2, 3)
	r.Append(20, AcksAll, 1)
	r.Append(21, AcksLeader, 2)
	rec := three()
	rec.Version, rec.Epoch, rec.Leader = 10, 6, 2
	r.Apply(rec, live{1: 7, 2: 1, 3: 1})
	e := r.Effects()
	if e.Lane == nil || e.Lane.Open || len(e.Settled) != 2 || !errors.Is(e.Settled[0].Err, ErrNotLeader) {
		t.Fatalf("%+v", e)
	}
	if len(e.Messages) != 0 {
		t.Fatal("it says where its log ends while that is being written")
	}
	if err := r.Admit(AcksLeader); !errors.Is(err, ErrNotLeader) {
		t.Error(err)
	}
	r.Durable(21)
	e = r.Effects()
	if len(e.Messages) != 1 || *e.Messages[0].Position != (Position{Broker: 1, Incarnation: 7, Epoch: 6, End: 21, LastEpoch: 5, Hello: true}) {
		t.Fatalf("%+v", e.Messages)
	}
	// The new leader's epoch 5 ends at 15.
	r.HearDivergence(Divergence{Epoch: 6, LastEpoch: 5, End: 15})
	if e = r.Effects(); e.Truncate == nil || *e.Truncate != 15 || len(e.Messages) != 0 {
		t.Fatalf("%+v", e)
	}
	r.Truncated()
	if e = r.Effects(); len(e.Messages) != 1 || e.Messages[0].Position.End != 15 {
		t.Fatalf("%+v", e.Messages)
	}
}

// TestALaneOpensOnceNothingIsBeingWritten: a newly elected leader may still have writes in progress from
// its time as a follower.
func TestALaneOpensOnceNothingIsBeingWritten(t *testing.T) {
	rec := three()
	rec.Leader = 2
	r := New(1, 7, Log{PrevEpoch: NoEpoch}, Config{})
	r.Apply(rec, live{1: 7, 2: 1, 3: 1})
	if !r.HearRecords(Records{Epoch: 5, Base: 0, End: 4, PrevEpoch: NoEpoch}, epochs(0, make([]entry, 4))) {
		t.Fatal("records were not taken")
	}
	rec.Leader, rec.Epoch, rec.Version = 1, 6, 10
	r.Apply(rec, live{1: 7, 3: 1})
	if e := r.Effects(); e.Lane != nil {
		t.Fatalf("opened: %+v", e.Lane)
	}
	r.Durable(4)
	if e := r.Effects(); e.Lane == nil || *e.Lane != (Lane{true, 6, 4}) {
		t.Fatalf("the lane: %+v", e.Lane)
	}
	if r.Known() {
		t.Error("the high watermark is known before anybody was heard")
	}
}

// TestAFollowerThatIsGoneLeavesSoon: a follower leaves the ISR after GoneTime if its connection broke,
// and only after LagTime if it is slow.
func TestAFollowerThatIsGoneLeavesSoon(t *testing.T) {
	r := leaderOf(t, 1, 2, 3)
	r.Tick(0)
	r.Append(20, AcksAll, 1)
	r.Durable(20)
	r.ack(2, 20)
	r.Disconnected(3)
	r.Tick(50 * time.Millisecond)
	if e := r.Effects(); e.Propose != nil {
		t.Fatalf("proposed %+v", e.Propose)
	}
	r.Tick(150 * time.Millisecond)
	e := r.Effects()
	if e.Propose == nil || len(e.Propose.ISR) != 2 || e.Propose.Version != 9 {
		t.Fatalf("proposed %+v", e.Propose)
	}
	slow := leaderOf(t, 1, 2, 3)
	slow.Append(20, AcksAll, 1)
	slow.Durable(20)
	slow.ack(2, 20)
	slow.Tick(999 * time.Millisecond)
	if e := slow.Effects(); e.Propose != nil {
		t.Fatalf("proposed %+v", e.Propose)
	}
	slow.Tick(1001 * time.Millisecond)
	if e := slow.Effects(); e.Propose == nil || len(e.Propose.ISR) != 2 {
		t.Fatalf("proposed %+v", e.Propose)
	}
}

// TestAStaleIncarnationIsNotHeard: a position from another incarnation of a broker says nothing about its
// current log.
func TestAStaleIncarnationIsNotHeard(t *testing.T) {
	r := leaderOf(t, 1, 2)
	r.Append(20, AcksAll, 1)
	r.Durable(20)
	r.HearPosition(Position{Broker: 2, Incarnation: 2, Epoch: 5, End: 20, LastEpoch: 5})
	if r.HighWatermark() != 10 {
		t.Errorf("high watermark %d", r.HighWatermark())
	}
}
