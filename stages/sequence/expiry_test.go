package sequence

import (
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// A producer's expiry counts from when it wrote, not from the timestamps of its
// records.
func TestExpiryIgnoresRecordTimestamps(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = 9, 0, 0
	batch, err := b.Add(now.Add(-30*24*time.Hour).UnixMilli(), nil, []byte("v")).Build()
	if err != nil {
		t.Fatal(err)
	}
	table := idempotence.NewTable(1 << 20)
	s := New(clock.NewManual(now), func(*partition.State) *idempotence.Producers { return table.Open() })
	state := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
	state.Lane.Open = true
	send := func() *flow.Append {
		a := &flow.Append{Partition: state.ID, State: state, Batch: append(record.Batch(nil), batch...)}
		s.sequence(a, now.UnixMilli())
		return a
	}
	send()
	table.Expire(now.Add(-time.Hour).UnixMilli())
	if a := send(); !a.Duplicate || a.BaseOffset != 0 {
		t.Errorf("a retry was appended again: %+v", a)
	}
	table.Expire(now.Add(time.Hour).UnixMilli())
	if a := send(); a.Duplicate {
		t.Error("the producer never expires")
	}
}
