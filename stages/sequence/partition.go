package sequence

import (
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
)

// sequence decides about a and applies the decision. now is in ms since the
// epoch.
func (s *Stage) sequence(a *flow.Append, now int64) {
	a.LogAppendTime = -1
	if a.Err != nil {
		return
	}
	lane := &a.State.Lane
	lane.Lock()
	defer lane.Unlock()
	if a.Err = refusal(a, lane); a.Err != nil {
		return
	}
	if lane.Producers == nil {
		lane.Producers = s.producers(a.State)
	}
	b := idempotence.Header(a.Batch, now)
	base, dup, err := lane.Producers.Check(b)
	switch {
	case err != nil:
		a.Err = err
		return
	case dup:
		a.Duplicate, a.BaseOffset, a.Epoch = true, base, lane.Epoch
		return
	}
	a.BaseOffset, a.Epoch = lane.Next, lane.Epoch
	if a.State.Settings().LogAppendTime {
		a.LogAppendTime = now
		a.Batch.SetLogAppendTime(now)
	}
	a.Batch.Stamp(a.BaseOffset, a.Epoch)
	lane.Producers.Append(b, a.BaseOffset)
	lane.Next = a.Batch.NextOffset()
}

// refusal returns why a may not be appended, nil if it may. REQUIRES: lane, which
// is a's, is locked.
func refusal(a *flow.Append, lane *partition.Lane) error {
	switch {
	case a.State.Deleted() && a.State.Leads():
		return meta.ErrUnknownTopic
	case !lane.Open:
		return replication.ErrNotLeader
	case a.Acks == flow.AcksAll && lane.Short:
		return replication.ErrNotEnoughReplicas
	}
	return a.State.Refused()
}
