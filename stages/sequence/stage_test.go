package sequence_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/sequence"
)

var noon = time.UnixMilli(1_700_000_000_000)

// records returns a batch of n records from a producer, or from none if id is -1.
func records(t interface{ Fatal(...any) }, n int, id int64, epoch int16, seq int32) record.Batch {
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, seq
	for range n {
		b.Add(noon.UnixMilli()-5, nil, []byte("v"))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func plain(t interface{ Fatal(...any) }, n int) record.Batch { return records(t, n, -1, -1, -1) }

// state returns a partition with an open lane.
func state(epoch int32) *partition.State {
	s := partition.NewState(topic.Partition{Topic: topic.NewID()}, epoch, 0, 0)
	s.Lane.Open, s.Lane.Epoch = true, epoch
	return s
}

func appends(s *partition.State, batches ...record.Batch) []*flow.Append {
	out := make([]*flow.Append, len(batches))
	for i, b := range batches {
		out[i] = &flow.Append{Partition: s.ID, State: s, Batch: b}
	}
	return out
}

func knowsNobody() *idempotence.Producers { return idempotence.NewTable(1 << 20).Open() }

func run(t *testing.T, writes ...*flow.Write) {
	t.Helper()
	stage := sequence.New(clock.NewManual(noon), func(*partition.State) *idempotence.Producers { return knowsNobody() })
	if _, verdicts, err := pipelinetest.Drive(t, stage, writes...); err != nil || errors.Join(verdicts...) != nil {
		t.Fatal(err, verdicts)
	}
}

func TestOffsetsAreDenseFromTheLanesNext(t *testing.T) {
	s := state(7)
	s.Lane.Next = 100
	as := appends(s, plain(t, 3), plain(t, 1), plain(t, 2))
	run(t, &flow.Write{Appends: as[:1]}, &flow.Write{Appends: as[1:]})
	for i, want := range []int64{100, 103, 104} {
		a := as[i]
		if a.BaseOffset != want || a.Batch.BaseOffset() != want || a.Batch.PartitionLeaderEpoch() != 7 || a.LogAppendTime != -1 {
			t.Errorf("batch %d: %+v", i, a)
		}
		if err := a.Batch.Verify(); err != nil {
			t.Errorf("batch %d was damaged: %v", i, err)
		}
	}
}

func TestRetryIsADuplicateAndAGapIsRefused(t *testing.T) {
	s := state(0)
	as := appends(s, records(t, 3, 9, 0, 0), records(t, 3, 9, 0, 0), records(t, 1, 9, 0, 4), records(t, 1, 9, 0, 3))
	w := &flow.Write{Appends: as}
	run(t, w)
	if a := as[1]; !a.Duplicate || a.BaseOffset != 0 || a.Err != nil || a.Writes() {
		t.Errorf("retry: %+v", a)
	}
	if a := as[2]; !errors.Is(a.Err, idempotence.ErrOutOfOrder) || a.Writes() {
		t.Errorf("gap: %+v", a)
	}
	if a := as[3]; a.Err != nil || a.BaseOffset != 3 {
		t.Errorf("after the gap: %+v", a)
	}
	if want := int64(len(as[0].Batch) + len(as[3].Batch)); w.Bytes != want {
		t.Errorf("%d bytes to write, want %d", w.Bytes, want)
	}
}

func TestDeletedPartitionRefuses(t *testing.T) {
	s := state(0)
	s.Delete()
	as := appends(s, plain(t, 1))
	run(t, &flow.Write{Appends: as})
	if !errors.Is(as[0].Err, meta.ErrUnknownTopic) {
		t.Errorf("%v", as[0].Err)
	}
}

// TestClosedLaneRefuses: nothing gets an offset while the lane is closed, nor with acks=all while
// too few replicas are in sync.
func TestClosedLaneRefuses(t *testing.T) {
	s := state(3)
	s.Lane.Open = false
	as := appends(s, plain(t, 1), plain(t, 1), plain(t, 1))
	run(t, &flow.Write{Appends: as[:1]})
	if !errors.Is(as[0].Err, replication.ErrNotLeader) {
		t.Errorf("closed: %v", as[0].Err)
	}
	s.Lane.Open, s.Lane.Short = true, true
	as[1].Acks, as[2].Acks = flow.AcksAll, flow.AcksLeader
	run(t, &flow.Write{Appends: as[1:]})
	if !errors.Is(as[1].Err, replication.ErrNotEnoughReplicas) || as[2].Err != nil || s.Lane.Next != 1 {
		t.Errorf("short of replicas: %v and %v, next %d", as[1].Err, as[2].Err, s.Lane.Next)
	}
}

func TestLogAppendTime(t *testing.T) {
	s := state(0)
	c := partition.DefaultSettings()
	c.LogAppendTime = true
	s.Configure(c)
	as := appends(s, plain(t, 2))
	run(t, &flow.Write{Appends: as})
	b := as[0].Batch
	if as[0].LogAppendTime != noon.UnixMilli() || b.MaxTimestamp() != noon.UnixMilli() || !b.LogAppendTime() {
		t.Errorf("%+v", as[0])
	}
	if err := b.Verify(); err != nil {
		t.Error(err)
	}
}

// Whatever producers send, the offsets of written batches are dense, and each
// producer's sequence numbers in the log have neither gaps nor repetitions.
func TestLogOfIdempotentProducers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := state(0)
		var as []*flow.Append
		for range rapid.IntRange(1, 40).Draw(rt, "batches") {
			n := rapid.IntRange(1, 3).Draw(rt, "records")
			as = append(as, appends(s, records(t, n, rapid.Int64Range(1, 2).Draw(rt, "id"), 0,
				rapid.Int32Range(0, 12).Draw(rt, "sequence")))...)
		}
		run(t, &flow.Write{Appends: as})
		next, sequences := int64(0), map[int64]int32{}
		for _, a := range as {
			if !a.Writes() {
				continue
			}
			if a.BaseOffset != next {
				rt.Fatalf("offset %d, want %d", a.BaseOffset, next)
			}
			next = a.Batch.NextOffset()
			id := a.Batch.ProducerID()
			if want, ok := sequences[id]; ok && a.Batch.BaseSequence() != want {
				rt.Fatalf("producer %d: sequence %d, want %d", id, a.Batch.BaseSequence(), want)
			}
			sequences[id] = a.Batch.LastSequence() + 1
		}
	})
}
