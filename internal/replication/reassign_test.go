package replication

import (
	"slices"
	"testing"
)

// TestAMoveUnderOneLeader: replicas that a move adds in the leader's epoch are sent records and
// proposed once they have caught up; those that it removed no longer count.
func TestAMoveUnderOneLeader(t *testing.T) {
	r := leaderOf(t, 1, 2, 3)
	brokers := live{1: 7, 2: 1, 3: 1, 4: 1}
	rec, err := r.rec.Reassign([]int32{1, 2, 4}, brokers)
	if err != nil {
		t.Fatal(err)
	}
	r.Apply(rec, brokers)
	r.HearPosition(Position{Broker: 4, Incarnation: 1, Epoch: 5, End: 5, LastEpoch: 4, Hello: true})
	if h, ok := r.Send(4, 100); !ok || h.Base != 5 || h.End != 10 {
		t.Fatalf("sent %+v, %v", h, ok)
	}
	if p := r.Effects().Propose; p != nil {
		t.Fatalf("proposed %+v before it has caught up", p)
	}
	r.ack(4, 10)
	p := r.Effects().Propose
	if p == nil || !slices.Contains(p.ISR, Member{4, 1}) {
		t.Fatalf("proposed %+v", p)
	}
	rec, err = rec.AlterISR(*p, brokers)
	if err != nil {
		t.Fatal(err)
	}
	rec = rec.Complete(brokers)
	if !slices.Equal(rec.Replicas, []int32{1, 2, 4}) || rec.Leader != 1 || rec.Epoch != 5 || len(rec.ISR) != 3 {
		t.Fatalf("%v of %v", rec, rec.Replicas)
	}
	r.Apply(rec, brokers)
	r.Append(20, AcksAll, 1)
	r.Durable(20)
	r.ack(2, 20)
	settled(t, r)
	r.ack(4, 20)
	settled(t, r, Settlement{Token: 1}) // without 3
	if _, ok := r.Send(3, 100); ok {
		t.Error("records are sent to a broker that is no replica")
	}
}
