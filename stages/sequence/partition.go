package sequence

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
)

var (
	// ErrDeleted rejects a batch whose topic has been deleted in the meantime.
	ErrDeleted = fault.Refused(kerr.UnknownTopicOrPartition, "partition was deleted")
	// ErrNotLeader rejects a batch of a partition that another broker leads by now.
	ErrNotLeader = fault.Transient(kerr.NotLeaderForPartition, "this broker no longer leads the partition")
)

// Opening is the state a partition starts from: the next offset and the
// idempotent producers found in its log.
type Opening struct {
	Next      int64
	Producers *idempotence.Producers
}

// lanePartition is a lane's state of one partition.
type lanePartition struct {
	state *partition.State
	Opening
}

// sequence decides about a and applies the decision. now is in ms since the
// epoch.
func (l *lanePartition) sequence(a *flow.Append, now int64) {
	if a.Err != nil {
		return
	}
	switch {
	case !l.state.Leads():
		a.Err = ErrNotLeader
		return
	case l.state.Deleted():
		a.Err = ErrDeleted
		return
	}
	if err := l.state.Refused(); err != nil {
		a.Err = err
		return
	}
	b := idempotence.Header(a.Batch, now)
	base, dup, err := l.Producers.Check(b)
	switch {
	case err != nil:
		a.Err = err
		return
	case dup:
		a.Duplicate, a.BaseOffset = true, base
		return
	}
	a.BaseOffset, a.Epoch = l.Next, l.state.Epoch()
	if l.state.Settings().LogAppendTime {
		a.LogAppendTime = now
		a.Batch.SetLogAppendTime(now)
	}
	a.Batch.Stamp(a.BaseOffset, a.Epoch)
	l.Producers.Append(b, a.BaseOffset)
	l.Next = a.Batch.NextOffset()
}
