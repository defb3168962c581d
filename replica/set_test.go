package replica_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/replica"
	"github.com/sluicemq/sluice/stages/sequence"
)

// brokers are all live in their first incarnation.
type brokers struct{}

func (brokers) Live(int32) (uint64, bool) { return 1, true }

// away is metadata that does not answer.
type away struct{}

func (away) AlterISR(ctx context.Context, _ topic.Partition, _ replication.ISRChange) error {
	<-ctx.Done()
	return ctx.Err()
}

// rig has one partition of broker 1. The test does what the stages after sequence do.
type rig struct {
	t         *testing.T
	set       *replica.Set
	state     *partition.State
	sequence  *sequence.Stage
	producers *idempotence.Producers
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, set: replica.New(1, 1, replica.DefaultConfig()), state: partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0),
		producers: idempotence.NewTable(1 << 20).Open()}
	r.sequence = sequence.New(clock.System{}, func(*partition.State) *idempotence.Producers { return r.producers })
	r.set.Use(replica.Deps{Metadata: away{}, Producers: func(*partition.State) *idempotence.Producers { return r.producers },
		Committed: func(*partition.State, int64, int64) {}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { r.set.Stop(replication.ErrNotLeader) })
	r.set.Open(r.state, replication.Log{PrevEpoch: replication.NoEpoch}, false)
	return r
}

// lead makes broker 1 the leader in epoch.
func (r *rig) lead(epoch int32, isr []int32, minISR int) {
	r.set.Apply(r.state, replication.Record{Replicas: []int32{1, 2, 3}, Leader: 1, Epoch: epoch, ISR: isr, MinISR: minISR}, brokers{})
}

func (r *rig) follow(epoch, leader int32) {
	r.set.Apply(r.state, replication.Record{Replicas: []int32{1, 2, 3}, Leader: leader, Epoch: epoch, ISR: []int32{1, 2, 3}, MinISR: 1}, brokers{})
}

// verdict is the outcome of a Write.
type verdict struct {
	settled bool
	err     error
	over    atomic.Bool
}

func (v *verdict) Settle(err error) {
	v.settled, v.err = true, err
	v.over.Store(true)
}

// batch returns a batch of the one producer.
func (r *rig) batch(seq int32) record.Batch {
	r.t.Helper()
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = 7, 0, seq
	built, err := b.Add(5, nil, []byte("value")).Build()
	if err != nil {
		r.t.Fatal(err)
	}
	return built
}

// sequenced returns a Write that has left the sequence stage.
func (r *rig) sequenced(acks flow.Acks, seq int32) (*flow.Write, *verdict) {
	r.t.Helper()
	w := &flow.Write{Appends: []*flow.Append{{Partition: r.state.ID, State: r.state, Batch: r.batch(seq), Acks: acks}}}
	if _, _, err := pipelinetest.Drive(r.t, r.sequence, w); err != nil {
		r.t.Fatal(err)
	}
	return w, new(verdict)
}

// enter does what the batch stage does with a group.
func (r *rig) enter(w *flow.Write, v *verdict) *flow.Group {
	n := 0
	for _, a := range w.Appends {
		a.Write = w
		if a.Err == nil && a.Acks != flow.AcksNone {
			n++
		}
	}
	w.Promise(v, n)
	g := &flow.Group{Writes: []*flow.Write{w}}
	g.Arrange()
	r.set.Append(g)
	w.Flush()
	return g
}

func (r *rig) produce(acks flow.Acks, seq int32) (*flow.Group, *verdict) {
	w, v := r.sequenced(acks, seq)
	return r.enter(w, v), v
}

func TestAcksWaitForWhatTheyAskFor(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1, 2}, 2)
	_, leader := r.produce(flow.AcksLeader, 0)
	_, all := r.produce(flow.AcksAll, 1)
	_, none := r.produce(flow.AcksNone, 2)
	_, retry := r.produce(flow.AcksAll, 1)
	if leader.settled || all.settled || !none.settled {
		t.Fatalf("before the disk has them: acks=1 %v, all %v, 0 %v", leader.settled, all.settled, none.settled)
	}
	r.set.Durable(r.state, 3)
	if !leader.settled || leader.err != nil || all.settled || r.state.HighWatermark() != 0 {
		t.Fatalf("on the leader's disk: acks=1 %+v, all %+v, high watermark %d", leader, all, r.state.HighWatermark())
	}
	r.lead(1, []int32{1}, 1) // the follower has left the ISR
	if !all.settled || all.err != nil || !retry.settled || retry.err != nil || r.state.HighWatermark() != 3 {
		t.Fatalf("committed: acks=all %+v, its retry %+v, high watermark %d", all, retry, r.state.HighWatermark())
	}
}

// TestTimeoutWhileFollowersAreBehind: the wait for followers ends with the request's timeout, that
// for the own disk does not; what has timed out is committed all the same.
func TestTimeoutWhileFollowersAreBehind(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1, 2}, 2)
	g, v := r.produce(flow.AcksAll, 0)
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); r.set.Tick(ctx) }()
	time.Sleep(120 * time.Millisecond) // two ticks
	if v.over.Load() {
		t.Error("it has timed out before its bytes are copied")
	}
	r.set.Durable(r.state, 1)
	for until := time.Now().Add(10 * time.Second); !v.over.Load() && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	stop()
	<-over
	if err := g.Writes[0].Appends[0].Err; !v.settled || !errors.Is(err, replica.ErrTimedOut) {
		t.Errorf("settled %v, %v", v.settled, err)
	}
	r.lead(1, []int32{1}, 1)
	if hw := r.state.HighWatermark(); hw != 1 {
		t.Errorf("the high watermark is %d", hw)
	}
}

func TestTooFewReplicasInSync(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1, 2}, 2)
	_, before := r.produce(flow.AcksAll, 0)
	w, on := r.sequenced(flow.AcksAll, 1)
	r.lead(1, []int32{1}, 2)
	r.enter(w, on)
	after, _ := r.sequenced(flow.AcksAll, 2)
	leader, _ := r.sequenced(flow.AcksLeader, 2)
	if err := after.Appends[0].Err; !errors.Is(err, replication.ErrNotEnoughReplicas) {
		t.Errorf("before it is appended: %v", err)
	}
	if err := leader.Appends[0].Err; err != nil {
		t.Errorf("acks=1: %v", err)
	}
	if !before.settled || !on.settled || !errors.Is(w.Appends[0].Err, replication.ErrNotEnoughReplicasAfterAppend) {
		t.Errorf("after it was appended: %+v and %+v, %v", before, on, w.Appends[0].Err)
	}
}

// TestAnEpochEndsBetweenTwoAppends: what got its offset in the old epoch and is not in the log
// when the new one begins is refused; its offsets and its sequence numbers are free again.
func TestAnEpochEndsBetweenTwoAppends(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1}, 1)
	_, kept := r.produce(flow.AcksAll, 0)
	late, refused := r.sequenced(flow.AcksAll, 1)
	r.lead(2, []int32{1}, 1)
	during, _ := r.sequenced(flow.AcksAll, 1)
	if err := during.Appends[0].Err; !errors.Is(err, replication.ErrNotLeader) {
		t.Errorf("while a write of the old epoch is in flight: %v", err)
	}
	r.set.Durable(r.state, 1) // the new epoch begins
	if !kept.settled || kept.err != nil {
		t.Errorf("in the log before the epoch: %+v", kept)
	}
	again, v := r.sequenced(flow.AcksAll, 1)
	g := r.enter(late, refused)
	if !refused.settled || !errors.Is(late.Appends[0].Err, replication.ErrNotLeader) || len(g.InOrder()) != 0 {
		t.Errorf("of the old epoch: %+v, %v, %d in the group", refused, late.Appends[0].Err, len(g.InOrder()))
	}
	r.enter(again, v)
	r.set.Durable(r.state, 2)
	if a := again.Appends[0]; !v.settled || a.Err != nil || a.Duplicate || a.BaseOffset != 1 || a.Epoch != 2 {
		t.Errorf("the retry in the new epoch: settled %v, %+v", v.settled, a)
	}
}

func TestSteppingDownSettlesWhatIsPending(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1, 2}, 1)
	g, pending := r.produce(flow.AcksAll, 0)
	r.set.Durable(r.state, 1)
	r.follow(2, 2)
	if err := g.Writes[0].Appends[0].Err; !pending.settled || !errors.Is(err, replication.ErrNotLeader) {
		t.Errorf("%+v, %v", pending, err)
	}
	if w, _ := r.sequenced(flow.AcksLeader, 1); !errors.Is(w.Appends[0].Err, replication.ErrNotLeader) {
		t.Errorf("a follower appends: %v", w.Appends[0].Err)
	}
}

func TestNackedGroupIsNotSettledTwice(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1}, 1)
	g, v := r.produce(flow.AcksAll, 0)
	failed := errors.New("the disk is broken")
	r.set.Nacked(g)
	g.Writes[0].Fail(failed)
	r.follow(2, 2)
	if !errors.Is(v.err, failed) || g.Writes[0].Appends[0].Err != nil {
		t.Errorf("%+v, %v", v, g.Writes[0].Appends[0].Err)
	}
}

func TestClosingSettlesWhatIsPending(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1}, 1)
	g, v := r.produce(flow.AcksAll, 0)
	deleted := errors.New("deleted")
	r.set.Close(r.state, deleted)
	r.set.Durable(r.state, 1)
	if !v.settled || !errors.Is(g.Writes[0].Appends[0].Err, deleted) {
		t.Errorf("%+v", v)
	}
}
