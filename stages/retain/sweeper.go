package retain

import (
	"context"
	"time"

	"github.com/sluicemq/sluice/internal/backoff"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Trim says where a partition's log is to start.
type Trim struct {
	Partition topic.Partition
	Epoch     int32 // leader epoch under which it was decided
	Decision
}

// Deps are what a Sweeper looks at.
type Deps struct {
	// Broker is this node's id: the partitions that it leads are looked at.
	Broker int32
	View   func() *meta.View
	// State finds the state of a partition that may have records in the WAL.
	State func(topic.Partition) (*partition.State, bool)
	Clock clock.Clock
}

// Sweeper is the source of the retention pipeline.
type Sweeper struct {
	Deps
	*setting.Limits[Config]
	tuned   chan struct{} // capacity 1
	failing *backoff.Set[topic.Partition]
}

// mostPause is the longest pause between two attempts at a partition that fails.
const mostPause = 15 * time.Minute

// NewSweeper returns the source.
func NewSweeper(cfg Config, d Deps) *Sweeper {
	return &Sweeper{Deps: d, Limits: setting.NewLimits("retain/sweep", cfg), tuned: make(chan struct{}, 1), failing: backoff.New[topic.Partition](mostPause)}
}

// Run looks at all partitions, again and again, until ctx is done.
func (s *Sweeper) Run(ctx context.Context, out pipeline.Emit[*Trim]) error {
	for {
		for t := range s.Due {
			if !s.failing.Due(t.Partition, time.Now()) {
				continue
			}
			settled := make(chan error, 1)
			p := pipeline.Parcel[*Trim]{Body: t, Receipt: pipeline.NewReceipt(func(err error) { settled <- err })}
			if err := out(ctx, p); err != nil {
				return err
			}
			s.settled(ctx, t.Partition, <-settled) // so that a look begins where the one before has ended
		}
		view := s.View()
		s.failing.Forget(func(p topic.Partition) bool { _, ok := view.Partition(p); return ok })
		timer := time.NewTimer(s.Config().Interval)
		select {
		case <-timer.C:
		case <-s.tuned:
		case <-ctx.Done():
		}
		if timer.Stop(); ctx.Err() != nil {
			return nil
		}
	}
}

// settled takes in how a trim went. One that failed is tried again after a pause.
func (s *Sweeper) settled(ctx context.Context, p topic.Partition, err error) {
	switch {
	case err == nil:
		s.failing.Done(p)
	case overtaken(err), ctx.Err() != nil:
	default:
		s.failing.Failed(p, time.Now(), max(time.Second, s.Config().Interval))
	}
}

// Due yields what is to be cut now.
func (s *Sweeper) Due(yield func(*Trim) bool) {
	for _, t := range s.View().Topics() {
		policy, ok := PolicyOf(t.Configs)
		if !ok {
			continue
		}
		for i, m := range t.Partitions {
			if m.Leader != s.Broker {
				continue
			}
			id := topic.Partition{Topic: t.ID, Index: int32(i)}
			if cut, ok := policy.Start(s.log(id, m), s.Clock.Now().UnixMilli()); ok && !yield(&Trim{id, m.Epoch, cut}) {
				return
			}
		}
	}
}

func (s *Sweeper) log(id topic.Partition, m *meta.Partition) Partition {
	l := Partition{Start: m.LogStart, TierEnd: m.TierEnd, Objects: m.Objects, Tail: Tail{MaxTimestamp: -1}}
	if state, ok := s.State(id); ok {
		l.Tail.End = state.HighWatermark()
		l.Tail.Bytes, l.Tail.MaxTimestamp = state.Tail.Sum(max(m.TierEnd, m.LogStart), l.Tail.End)
	}
	return l
}

// Tune changes limits, and looks at once.
func (s *Sweeper) Tune(values map[string]int64) error {
	err := s.Limits.Tune(values)
	if err == nil {
		select {
		case s.tuned <- struct{}{}:
		default:
		}
	}
	return err
}
