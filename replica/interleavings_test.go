package replica_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/replica"
)

// with gives the set of a rig other dependencies.
func (r *rig) with(change func(*replica.Deps)) {
	d := replica.Deps{Metadata: away{}, Producers: func(*partition.State) *idempotence.Producers { return r.producers },
		Forget:    func(*partition.State) *idempotence.Producers { return r.producers },
		Committed: func(*partition.State, int64, int64) {}, Logger: slog.New(slog.DiscardHandler),
		Find: func(topic.Partition) (*partition.State, bool) { return r.state, true }}
	change(&d)
	r.set.Use(d)
}

// plain returns a batch without a producer.
func plain(t *testing.T) record.Batch {
	t.Helper()
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = -1, -1, -1
	built, err := b.Add(5, nil, []byte("value")).Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// told is a promise that calls a function.
type told func(error)

func (f told) Settle(err error) { f(err) }

// TestWhatIsInTheLogIsInTheImage: while a batch of a group is refused, the leadership of another
// partition of that group ends. What was appended to that partition's log is written all the same;
// its offsets would be missing from the log otherwise.
func TestWhatIsInTheLogIsInTheImage(t *testing.T) {
	r := newRig(t)
	r.lead(1, []int32{1, 2}, 2)
	other := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
	r.set.Open(other, replication.Log{PrevEpoch: replication.NoEpoch}, false)
	as := func(leader, epoch, version int32) {
		r.set.Apply(other, replication.Record{Replicas: []int32{1, 2, 3}, Leader: leader, Epoch: epoch, Version: version, ISR: []int32{1, 2}, MinISR: 2}, brokers{})
	}
	as(1, 1, 1)
	write := func(s *partition.State) *flow.Write {
		w := &flow.Write{Appends: []*flow.Append{{Partition: s.ID, State: s, Batch: plain(t), Acks: flow.AcksAll}}}
		if _, _, err := pipelinetest.Drive(t, r.sequence, w); err != nil {
			t.Fatal(err)
		}
		w.Appends[0].Write = w
		return w
	}
	kept, refused := write(other), write(r.state)
	kept.Promise(new(verdict), 1)
	refused.Promise(told(func(error) { as(2, 2, 2) }), 1) // the metadata's goroutine comes in between
	r.follow(2, 2)
	g := &flow.Group{Writes: []*flow.Write{kept, refused}}
	g.Arrange()
	r.set.Append(g)
	if !errors.Is(kept.Appends[0].Err, replication.ErrNotLeader) || !errors.Is(refused.Appends[0].Err, replication.ErrNotLeader) {
		t.Fatalf("%v, %v", kept.Appends[0].Err, refused.Appends[0].Err)
	}
	if all := g.InOrder(); len(all) != 1 || all[0] != kept.Appends[0] {
		t.Errorf("offset 0 is in the log of its partition, and %d batches are written", len(all))
	}
}

// lateAnswer is metadata that applies the first proposal without an answer, and refuses its repetition.
type lateAnswer struct{ calls atomic.Int32 }

func (m *lateAnswer) AlterISR(context.Context, topic.Partition, replication.ISRChange) error {
	if m.calls.Add(1) == 1 {
		return errors.New("no answer") // it is applied
	}
	return replication.ErrStaleVersion
}

// TestAProposalWithoutAnAnswerCounts: a proposal that was repeated after an unknown outcome may have been
// applied the first time, also if the repetition is refused as stale. Its members count until the
// record after it is applied here.
func TestAProposalWithoutAnAnswerCounts(t *testing.T) {
	r := newRig(t)
	m := new(lateAnswer)
	r.with(func(d *replica.Deps) { d.Metadata = m })
	r.lead(1, []int32{1}, 1)
	hello := replication.Position{Broker: 2, Incarnation: 1, Epoch: 1, End: 0, LastEpoch: replication.NoEpoch, Hello: true}
	r.set.Heard(2, r.state.ID, replication.Message{Position: &hello}) // in sync, and proposed
	_, v := r.produce(flow.AcksAll, 0)
	r.set.Durable(r.state, 1)
	for until := time.Now().Add(10 * time.Second); m.calls.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the proposal is not repeated")
		}
	}
	for range 300 {
		if v.over.Load() || r.state.HighWatermark() > 0 {
			t.Fatalf("offset 0 is acknowledged, and broker 2, which may be in the ISR, does not have it")
		}
		time.Sleep(time.Millisecond)
	}
}
